// The greeter of npm's two packages, and calls of one by each of them.
import { RpcTarget } from "capnweb";

export const said = ["Hello, page", "60", "Salut, pipe", "not today"];

export class Greeter extends RpcTarget {
  constructor(greeting = "Hi") { super(); this.greeting = greeting; }
  hello(name) { return `${this.greeting}, ${name}`; }
  async sum(to, each) {
    let sum = 0;
    for (let number = 0; number < to; number++) sum += await each(number);
    return sum;
  }
  fail() { throw new TypeError("not today"); }
  other(greeting) { return new Greeter(greeting); }
}

// The same as an object of Q-Connection.
export const qGreeter = (greeting = "Hi") => ({
  hello: (name) => `${greeting}, ${name}`,
  async sum(to, each) {
    let sum = 0;
    for (let number = 0; number < to; number++) sum += await each(number);
    return sum;
  },
  fail() { throw new TypeError("not today"); },
  other: (greeting) => qGreeter(greeting),
});

// What npm's capnweb takes for a port. It has one for message ports alone, and starts and closes them.
export const asPort = (worker) => Object.assign(worker, { start() {}, close() {} });

const failure = (error) => error.message ?? String(error);

export const talk = async (greeter) => [
  await greeter.hello("page"),
  String(await greeter.sum(4, (number) => number * 10)),
  await greeter.other("Salut").hello("pipe"),
  await greeter.fail().then(() => "", failure),
];

export const qTalk = async (remote) => [
  await remote.invoke("hello", "page"),
  String(await remote.invoke("sum", 4, (number) => number * 10)),
  await remote.invoke("other", "Salut").invoke("hello", "pipe"),
  await remote.invoke("fail").then(() => "", failure),
];
