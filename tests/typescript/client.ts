// A program for a page: everything that a stub of the generated type has.
import { newWebSocketRpcSession, type RpcStub } from "capnweb";
import type { Chat, Line, Refusal, Seat } from "./chat.js";

export async function run(): Promise<string[]> {
  const chat = newWebSocketRpcSession<Chat>("ws://127.0.0.1:1/");
  const said: string[] = [];
  const seat = await chat.join("Ada", (line: Line) => {
    said.push(`${line.id} ${line.from ?? "?"} ${line.text} ${line.at.toISOString()}`);
  });
  try {
    await seat.say("hello");
  } catch (error) {
    const { data } = error as Error & { data: Refusal };
    said.push(data === "Muted" ? data : `at most ${data.TooLong.max}`);
  }
  // On a result that is not there yet.
  await chat.join("Grace", () => {}).say("hello");
  const lines: Line[] = await chat.lines([1, 2]);
  const ids: (number | bigint)[] = await chat.lines([]).map((line) => line.id);
  for (const other of await chat.seats()) await other.say("to each");
  const rooms = await chat.rooms();
  await rooms["rust"]?.lines([1]);
  const double: number = await (await chat.doubler())(21);
  for await (const line of await chat.tail()) said.push(line.text);
  const length: number | bigint = await chat.upload(new Blob(["text"]).stream());
  const topic: string | null = await chat.topic;
  await chat.rename();
  await chat.rename(null);
  await chat.rename("new", 3);
  const nothing: void = await seat.say("");
  await chat.sit(seat);
  await chat.sit(await chat.seats().then((seats) => seats[0]!));
  const again: RpcStub<Seat> = seat.dup();
  again[Symbol.dispose]();
  return [...said, ...lines.map((line) => line.text), String([ids, double, length, topic, nothing])];
}
