// The pile's own code: by the camera where the browser can read codes, by typing everywhere.
import { field, h, t } from "./worker-dom.js";

async function reader() {
  if (!("BarcodeDetector" in globalThis)) return null;
  const kinds = await BarcodeDetector.getSupportedFormats().catch(() => []);
  return kinds.includes("qr_code") ? new BarcodeDetector({ formats: ["qr_code"] }) : null;
}

// The charger's number in what was scanned or typed.
export function chargerIn(text) {
  try {
    const path = new URL(text).pathname.match(/^\/p\/([^/]+)$/);
    return path ? decodeURIComponent(path[1]) : null;
  } catch {
    return text.trim() || null;
  }
}

// Asks until something was scanned or typed; null where the worker gives up.
export async function scan() {
  const codes = await reader();
  const typed = h("input", { autocomplete: "off", autocapitalize: "characters", maxlength: 500 });
  const told = h("p.hint", { role: "status" });
  const video = h("video", { playsinline: true, muted: true, hidden: true });
  let stream = null;
  const box = h("dialog.scan", { "aria-label": t("worker.scan") });
  const answer = new Promise((resolve) => {
    const end = (text) => { stream?.getTracks().forEach((track) => track.stop()); stream = null; box.close(); box.remove(); resolve(text); };
    const shot = h("input", { type: "file", accept: "image/*", capture: "environment",
      onchange: async () => {
        const found = await codes?.detect(await createImageBitmap(shot.files[0])).catch(() => []);
        if (found?.length) end(found[0].rawValue);
        else told.textContent = t("worker.scan-unread");
      } });
    box.append(h("h2", {}, t("worker.scan")), video, told,
      codes ? field(t("worker.scan-photo"), shot) : h("p.hint", {}, t("worker.scan-cannot")),
      h("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); if (typed.value.trim()) end(typed.value.trim()); } },
        field(t("worker.scan-type"), typed), h("button.button.primary", {}, t("worker.scan-take"))),
      h("button.button", { type: "button", onclick: () => end(null) }, t("worker.back")));
    box.addEventListener("cancel", () => end(null));
    document.body.append(box);
    box.showModal();
    if (!codes || !navigator.mediaDevices) return;
    navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }).then(async (got) => {
      if (!box.open) return got.getTracks().forEach((track) => track.stop());
      stream = got;
      video.srcObject = got;
      video.hidden = false;
      await video.play();
      while (stream) {
        const found = await codes.detect(video).catch(() => []);
        if (found.length && stream) return end(found[0].rawValue);
        await new Promise((go) => requestAnimationFrame(go));
      }
      return null;
    }).catch(() => { told.textContent = t("worker.scan-camera"); });
  });
  return answer;
}
