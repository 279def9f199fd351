// A round on a plan of its own: sites where they lie, the way between them, each pile a number.
import { s, t } from "./worker-dom.js";

const WIDTH = 360;
const GAP = 46;

// Places on paper, north up; sites without a place, and piles of one site, stand beside each other.
export function plan(stops) {
  const sites = new Map();
  for (const stop of stops) {
    if (!sites.has(stop.site)) sites.set(stop.site, { name: stop.site_name, lat: stop.latitude, lon: stop.longitude, stops: [] });
    sites.get(stop.site).stops.push(stop);
  }
  const all = [...sites.values()];
  const placed = all.filter((site) => site.lat !== null && site.lon !== null);
  const lats = placed.map((site) => site.lat);
  const lons = placed.map((site) => site.lon);
  const squeeze = Math.cos(((lats[0] ?? 0) * Math.PI) / 180);
  const span = Math.max((Math.max(...lats) - Math.min(...lats)), (Math.max(...lons) - Math.min(...lons)) * squeeze, 1e-6);
  const rank = new Map([...placed].sort((a, b) => b.lat - a.lat).map((site, place) => [site, place]));
  let y = 34;
  const order = [...all].sort((a, b) => (rank.get(a) ?? 1e9) - (rank.get(b) ?? 1e9));
  for (const site of order) {
    // Rows from north to south keep names readable; east and west are to scale within the paper.
    const wide = Math.min(site.stops.length, 6);
    const free = WIDTH - 40 - (wide - 1) * GAP;
    const east = rank.has(site) ? ((site.lon - Math.min(...lons)) * squeeze) / span : 0;
    site.x = 20 + Math.max(0, Math.min(1, east)) * Math.max(0, free);
    site.y = y;
    y += 34 + Math.ceil(site.stops.length / 6) * GAP;
  }
  return { sites: order, height: y };
}

export function map(stops, look) {
  const { sites, height } = plan(stops);
  const at = new Map();
  for (const site of sites) {
    site.stops.forEach((stop, place) => at.set(stop.charger, {
      x: site.x + (place % 6) * GAP, y: site.y + 26 + Math.floor(place / 6) * GAP }));
  }
  const way = stops.map((stop) => { const p = at.get(stop.charger); return `${p.x},${p.y}`; }).join(" ");
  const drawn = s("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "plan", role: "group", "aria-label": t("worker.map") },
    s("polyline", { points: way, class: "way" }));
  for (const site of sites) {
    const name = s("text", { x: 8, y: site.y - 4, class: "site" });
    name.textContent = site.name;
    drawn.append(name);
  }
  for (const stop of stops) {
    const { word, href } = look(stop);
    const { x, y } = at.get(stop.charger);
    const label = s("text", { x, y: y + 6 });
    label.textContent = String(stop.place);
    drawn.append(s("a", { href, class: `stop ${word}`, "aria-label": `${stop.place} ${stop.label}, ${t(`worker.stop-${word}`)}` },
      s("circle", { cx: x, cy: y, r: 19 }), label));
  }
  return drawn;
}
