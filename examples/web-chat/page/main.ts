import { newWebSocketRpcSession, type RpcStub } from "capnweb";
import type { Chat, Host, Line, Refusal, Seat } from "./chat.js";

const find = <T extends Element>(selector: string) => document.querySelector<T>(selector)!;
const lines = find("#lines");
const join = find<HTMLFormElement>("#join");
const say = find<HTMLFormElement>("#say");
const status = (text: string) => { find("#status").textContent = text; };
const failed = (error: unknown) => status((error as Error).message);

const show = ({ from, text, picture }: Line) => {
  const line = document.createElement("li");
  const speaker = document.createElement("b");
  speaker.textContent = from ?? "";
  line.append(...(from == null ? [] : [speaker]), text);
  line.classList.toggle("room", from == null);
  if (picture) {
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([picture as Uint8Array<ArrayBuffer>]));
    image.onload = () => URL.revokeObjectURL(image.src);
    line.append(image);
  }
  lines.append(line);
  line.scrollIntoView();
};

/** Shows who is there. Whoever holds a `Host` may send them away. */
const showMembers = async (me: string, seat: RpcStub<Seat>, host: RpcStub<Host> | null | undefined) => {
  const items = (await seat.members).map((name) => {
    const item = document.createElement("li");
    item.append(name);
    if (host && name !== me) {
      const kick = document.createElement("button");
      kick.textContent = "✕";
      kick.title = `Send ${name} away`;
      kick.onclick = () => host.kick(name).catch(failed);
      item.append(kick);
    }
    return item;
  });
  find("#members").replaceChildren(...items);
};

/** Is in the room until the connection ends. Fails with the reason if the room does not want it. */
const visit = async (name: string, again: boolean) => {
  const chat = newWebSocketRpcSession<Chat>(`${location.protocol.replace("http", "ws")}//${location.host}/api`);
  let connected = true;
  chat.onRpcBroken(() => { connected = false; });
  // A browser may keep a page that was left, with its connection, to show it again.
  window.onpagehide = () => chat[Symbol.dispose]();
  try {
    const { seat, host } = await chat.join(name);
    lines.replaceChildren();
    status("");
    say.hidden = false;
    say.text.focus();
    say.onsubmit = (event) => {
      event.preventDefault();
      seat.say(say.text.value).catch(failed);
      say.text.value = "";
    };
    say.picture.onchange = () => {
      seat.show(say.picture.files[0].stream()).catch(failed);
      say.picture.value = "";
    };
    // The stream ends when the seat is taken back, and with the connection.
    await (await seat.lines()).pipeTo(new WritableStream({
      write(line) {
        show(line);
        // Somebody has come or gone.
        if (line.from == null) showMembers(name, seat, host).catch(() => {});
      },
    }));
  } catch (error) {
    const { data } = error as Error & { data?: Refusal };
    // The room may not know yet that the connection before this one has ended.
    if (connected && !(again && data === "NameTaken")) throw error;
  } finally {
    // Closes the connection, and so gives the seat back.
    chat[Symbol.dispose]();
    say.hidden = true;
    find("#members").replaceChildren();
  }
};

join.onsubmit = async (event) => {
  event.preventDefault();
  join.hidden = true;
  try {
    for (let again = false; ; again = true) {
      await visit(join.me.value, again);
      status("Connecting again …");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  } catch (error) {
    failed(error);
    join.hidden = false;
  }
};
