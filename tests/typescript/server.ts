// An implementation, which Rust calls by a client of the same interface.
import { RpcTarget, type RpcStub } from "capnweb";
import type { Chat, Line, Seat } from "./chat.js";

class Place extends RpcTarget implements Seat {
  constructor(private listener: RpcStub<(line: Line) => void>) {
    super();
  }

  async say(text: string): Promise<void> {
    if (text === "") throw Object.assign(new Error("muted"), { data: "Muted" });
    await this.listener({ id: 1n, from: null, text, at: new Date() });
  }
}

export class Room extends RpcTarget implements Chat {
  private places: Seat[] = [];

  async join(name: string, onLine: RpcStub<(line: Line) => void>): Promise<Seat> {
    const place = new Place(onLine.dup());
    this.places.push(place);
    await place.say(`${name} came`);
    return place;
  }

  async lines(ids: (number | bigint)[]): Promise<Line[]> {
    return ids.map((id) => ({ id, text: "", at: new Date() }));
  }

  async seats(): Promise<Seat[]> {
    return this.places;
  }

  async rooms(): Promise<Record<string, Chat>> {
    return { here: this };
  }

  async doubler() {
    return async (number: number) => 2 * number;
  }

  async tail(): Promise<ReadableStream<Line>> {
    return new ReadableStream();
  }

  async upload(file: ReadableStream<Uint8Array>): Promise<number> {
    let length = 0;
    for await (const part of file) length += part.length;
    return length;
  }

  async rename(topic?: string | null, times?: number | null): Promise<void> {
    this.#topic = `${topic ?? ""} ${times ?? 0}`;
  }

  async sit(seat: RpcStub<Seat>): Promise<void> {
    await seat.say("sat");
  }

  #topic: string | null = null;

  get topic(): Promise<string | null> {
    return Promise.resolve(this.#topic);
  }
}
