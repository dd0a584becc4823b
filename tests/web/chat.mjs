// The example web-chat in a real browser: what its pages show, and what its server sees of them, and when.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createInterface } from "node:readline";
import { launch } from "./chromium.mjs";

const program = join(import.meta.dirname, "../../target/web-chat/debug/web-chat");

let browser;
before(async () => {
  // Playwright switches this cache off, which users have.
  browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
});
after(() => browser?.close());

// Starts a server, whose `said(line)` waits until it has printed that line, from now on.
const serve = async (address = "127.0.0.1:0") => {
  const child = spawn(program, [address], { stdio: ["ignore", "pipe", "inherit"] });
  const printed = createInterface({ input: child.stdout });
  const [url] = await once(printed, "line");
  const said = (wanted) => new Promise((resolve, reject) => {
    const listener = (line) => {
      if (line === wanted) printed.off("line", listener), resolve();
    };
    printed.on("line", listener).once("close", () => reject(new Error(`the server has ended without: ${wanted}`)));
  });
  const stop = async () => {
    child.kill();
    await once(child, "exit");
  };
  return { url, said, stop };
};

const open = async (context, url, name) => {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error("in the page:", error));
  await page.goto(url);
  await enter(page, name);
  return page;
};
const enter = async (page, name) => {
  await page.fill("[name=me]", name);
  await page.press("[name=me]", "Enter");
};
const say = async (page, text) => {
  await page.fill("[name=text]", text);
  await page.press("[name=text]", "Enter");
};
const shows = (page, selector, text) => page.locator(selector, { hasText: text }).last().waitFor();

// Runs a test with a server and with pages that go when it ends.
const chat = (name, run) => test(name, { timeout: 120_000 }, async () => {
  const server = await serve();
  const context = await browser.newContext();
  try {
    await run({ server, context, enters: async (name) => {
      const page = await open(context, server.url, name);
      await shows(page, "#members li", name);
      return page;
    } });
  } finally {
    await context.close();
    await server.stop();
  }
});

chat("two pages talk, and show each other pictures", async ({ enters }) => {
  const [ann, bob] = [await enters("Ann"), await enters("Bob")];
  await shows(ann, "#members li", "Bob");
  await say(ann, "hello");
  await shows(bob, "#lines li", "Annhello");
  await say(bob, "<b>hi</b>");
  await shows(ann, "#lines li", "Bob<b>hi</b>");
  const png = await ann.evaluate(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 7, height: 5 });
    return canvas.toDataURL("image/png").split(",")[1];
  });
  const picture = (buffer) => ({ name: "dot.png", mimeType: "image/png", buffer });
  await bob.setInputFiles("[name=picture]", picture(Buffer.from(png, "base64")));
  await ann.waitForFunction(() => document.querySelector("#lines img")?.naturalWidth === 7);
  await bob.setInputFiles("[name=picture]", picture(Buffer.alloc(300_000)));
  await shows(bob, "#status", "more than 262144 bytes");
  await say(bob, "still here");
  await shows(ann, "#lines li", "Bobstill here");
});

chat("a name is taken once", async ({ server, context, enters }) => {
  const ann = await enters("Ann");
  const other = await open(context, server.url, "Ann");
  await shows(other, "#status", "somebody of that name is here");
  const left = server.said("*: Ann leaves");
  await ann.close();
  await left;
  await enter(other, "Ann");
  await shows(other, "#members li", "Ann");
});

chat("who is kicked is told, has no seat, and may come back", async ({ server, enters }) => {
  const [ann, bob] = [await enters("Ann"), await enters("Bob")];
  assert.equal(await bob.locator("#members button").count(), 0, "a guest kicks nobody");
  const left = server.said("*: Bob leaves");
  await ann.click("[title='Send Bob away']");
  await left;
  await shows(bob, "#status", "Ann has sent you away");
  await shows(ann, "#lines li", "Bob leaves");
  await say(ann, "quiet now");
  await shows(ann, "#lines li", "quiet now");
  assert.equal(await bob.locator("#lines li", { hasText: "quiet now" }).count(), 0);
  await enter(bob, "Bob");
  await shows(bob, "#lines li", "quiet now");
});

test("pages come back to a server that was started again", { timeout: 120_000 }, async () => {
  const context = await browser.newContext();
  const first = await serve();
  const [ann, bob] = [await open(context, first.url, "Ann"), await open(context, first.url, "Bob")];
  await shows(ann, "#members li", "Bob");
  await first.stop();
  await shows(ann, "#status", "Connecting again");
  await shows(bob, "#status", "Connecting again");
  const second = await serve(new URL(first.url).host);
  await shows(ann, "#members li", "Bob");
  await shows(bob, "#members li", "Ann");
  await say(ann, "here again");
  await shows(bob, "#lines li", "Annhere again");
  await context.close();
  await second.stop();
});

for (const [what, leave] of [
  ["is closed", (page) => page.close()],
  ["goes elsewhere", (page) => page.goto("about:blank")],
  ["crashes", (page) => void page.goto("chrome://crash").catch(() => {})],
]) {
  chat(`the seat of a page that ${what} is free`, async ({ server, enters }) => {
    const [ann, bob] = [await enters("Ann"), await enters("Bob")];
    const left = server.said("*: Bob leaves");
    await leave(bob);
    await left;
    await shows(ann, "#lines li", "Bob leaves");
  });
}

chat("a page in the back/forward cache has left, and comes in when it is shown again", async ({ server, enters }) => {
  const ann = await enters("Ann");
  const bob = await enters("Bob");
  await bob.evaluate(() => {
    window.onpageshow = ({ persisted }) => { window.persisted = persisted; };
  });
  const left = server.said("*: Bob leaves");
  await bob.goto(`${server.url}/style.css`);
  await left;
  const back = server.said("*: Bob comes in");
  await bob.goBack({ waitUntil: "commit" });
  await back;
  assert.equal(await bob.evaluate(() => window.persisted), true, "the page was loaded anew");
  await say(bob, "back");
  await shows(ann, "#lines li", "Bobback");
});
