// The phone's own database. What `write` has answered is on the disk; nothing else counts as saved.
const NAME = "pilewatch-worker";
let opening = null;

function base() {
  opening ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      const db = asked.result;
      db.createObjectStore("kept"); // answers of the server, by name
      db.createObjectStore("drafts", { keyPath: "id" }); // half-filled checklists and meetings
      db.createObjectStore("outbox", { keyPath: "place", autoIncrement: true });
      db.createObjectStore("photos", { keyPath: "name" });
    };
    asked.onsuccess = () => {
      const db = asked.result;
      db.onclose = () => { opening = null; };
      db.onversionchange = () => { db.close(); opening = null; };
      resolve(db);
    };
    asked.onerror = () => { opening = null; reject(asked.error); };
  });
  return opening;
}

// One transaction: all of `work` or nothing of it.
export async function write(stores, work) {
  const db = await base();
  return new Promise((resolve, reject) => {
    const all = db.transaction(stores, "readwrite", { durability: "strict" });
    all.oncomplete = () => resolve();
    all.onabort = () => reject(all.error ?? new DOMException("not saved", "AbortError"));
    try {
      work(...stores.map((name) => all.objectStore(name)));
    } catch (error) {
      all.abort();
      reject(error);
    }
  });
}

async function read(store, ask) {
  const db = await base();
  return new Promise((resolve, reject) => {
    const asked = ask(db.transaction(store).objectStore(store));
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

export const get = (store, key) => read(store, (found) => found.get(key));
export const all = (store) => read(store, (found) => found.getAll());
export const keep = (name, value) => write(["kept"], (kept) => kept.put(value, name));

export const isFull = (error) => error?.name === "QuotaExceededError"
  || error?.inner?.name === "QuotaExceededError";
