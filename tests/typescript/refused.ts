// Mistakes. The compiler has to find each: a line without one is a mistake itself.
import { RpcTarget, type RpcStub } from "capnweb";
import type { Chat, Line, Seat } from "./chat.js";

export async function mistakes(chat: RpcStub<Chat>, seat: RpcStub<Seat>): Promise<void> {
  // @ts-expect-error: there is no such method.
  await chat.leave();
  // @ts-expect-error: an argument of another type.
  await seat.say(7);
  // @ts-expect-error: an argument too few.
  await chat.join("Ada");
  // @ts-expect-error: a callback that takes something else.
  await chat.join("Ada", (line: { other: number }) => line.other);
  // @ts-expect-error: a field of another type.
  const text: number = (await chat.lines([1]))[0]!.text;
  // @ts-expect-error: an id may be a bigint.
  const id: number = (await chat.lines([1]))[0]!.id;
  // @ts-expect-error: a property is not called.
  await chat.topic();
  // @ts-expect-error: another interface.
  await chat.sit(chat);
  return void [text, id];
}

// @ts-expect-error: a field is missing.
export const line: Line = { id: 1, text: "" };

export class Other extends RpcTarget implements Seat {
  // @ts-expect-error: its result is another.
  async say(_text: string): Promise<number> {
    return 1;
  }
}

// @ts-expect-error: methods are missing.
export class Empty extends RpcTarget implements Chat {}
