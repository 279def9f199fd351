// Runs in the background: the app opens without a net, and what waits is sent when there is one.
import { send } from "/static/worker-outbox.js";

const CACHE = `worker-${KEPT.version}`;
const SHELL = "/worker";
const PATIENCE_MS = 4000;

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll([SHELL, ...KEPT.files].map((path) => new Request(path, { cache: "reload" })));
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const names = (await caches.keys()).filter((name) => name.startsWith("worker-") && name !== CACHE);
    await Promise.all(names.map((name) => caches.delete(name)));
    await self.clients.claim();
  })());
});

// The newest shell where the net is good, the kept one otherwise.
async function shell(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(String(answer.status));
    await cache.put(SHELL, answer.clone()).catch(() => {}); // a full phone shows it all the same
    return answer;
  } catch {
    return (await cache.match(SHELL, { ignoreVary: true })) ?? Response.error();
  }
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (event.request.mode === "navigate" && url.pathname === SHELL) event.respondWith(shell(event.request));
  else if (KEPT.files.includes(url.pathname + url.search)) {
    event.respondWith((async () => (await (await caches.open(CACHE))
      .match(event.request, { ignoreVary: true })) ?? fetch(event.request))());
  }
});

self.addEventListener("sync", (event) => {
  if (event.tag !== "outbox") return;
  event.waitUntil(send().then((end) => {
    if (end === "offline" || end === "later") throw new Error(end); // the browser tries again
  }));
});
