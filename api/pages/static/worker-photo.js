// A camera's picture as a small JPEG: sixty of them fit on any phone, and through any net.
import { t } from "./worker-dom.js";
const SIDE = 1280;
const QUALITY = 0.72;

async function bitmap(file) {
  if ("createImageBitmap" in globalThis) {
    try { return await createImageBitmap(file, { imageOrientation: "from-image" }); } catch { /* below */ }
  }
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return image;
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

export async function small(file) {
  let picture;
  try {
    picture = await bitmap(file);
  } catch {
    throw new Error(t("worker.photo-broken"));
  }
  const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close?.();
  const made = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  if (!made) throw new Error(t("worker.photo-broken"));
  return { name: crypto.randomUUID(), jpeg: await made.arrayBuffer() };
}
