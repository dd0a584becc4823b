// Made by capnode from interfaces in Rust. Do not edit.
import type { RpcStub, RpcTarget } from "capnweb";

/**
 * A line that was said.
 */
export type Line = { id: number | bigint, 
/**
 * The name of the speaker.
 */
from?: string | null, text: string, at: Date, };

export type Refusal = "Muted" | { "TooLong": { max: number, } };

/** A room. */
export interface Chat extends RpcTarget {
  /** Takes a seat; `on_line` is called with each line from then on. */
  join(name: string, on_line: RpcStub<(a: Line) => void>): Promise<Seat>;
  lines(ids: (number | bigint)[]): Promise<Line[]>;
  seats(): Promise<Seat[]>;
  rooms(): Promise<Record<string, Chat>>;
  doubler(): Promise</** @throws {Error & { data: Refusal }} */ (a: number) => Promise<number>>;
  tail(): Promise<ReadableStream<Line>>;
  upload(file: ReadableStream<Uint8Array>): Promise<number | bigint>;
  rename(topic?: string | null, times?: number | null): Promise<void>;
  sit(seat: RpcStub<Seat>): Promise<void>;
  readonly topic: Promise<string | null>;
}

export interface Seat extends RpcTarget {
  /** @throws {Error & { data: Refusal }} */
  say(text: string): Promise<void>;
}
