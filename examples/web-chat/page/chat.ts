// Made by capnode from interfaces in Rust. Do not edit.
import type { RpcTarget } from "capnweb";

export type Line = { 
/**
 * `None` if the room says it itself.
 */
from?: string | null, text: string, picture?: Uint8Array | null, };

export type Refusal = "NameTaken" | "NoName";

/**
 * Everything that a new member is given.
 */
export type Welcome = { seat: Seat, 
/**
 * For the first in the room.
 */
host?: Host | null, };

/** The room, for everybody who opens the page. */
export interface Chat extends RpcTarget {
  /** @throws {Error & { data: Refusal }} */
  join(name: string): Promise<Welcome>;
}

/** The right to send others away. */
export interface Host extends RpcTarget {
  kick(name: string): Promise<void>;
}

/** A seat in the room. Its holder leaves by letting go of it. */
export interface Seat extends RpcTarget {
  /** Returns what was said lately, and then each line as it is said. */
  lines(): Promise<ReadableStream<Line>>;
  say(text: string): Promise<void>;
  /**
   * Shows a picture to everyone.
   * @throws {Error}
   */
  show(picture: ReadableStream<Uint8Array>): Promise<void>;
  /** Names of those who are in the room. */
  readonly members: Promise<string[]>;
}
