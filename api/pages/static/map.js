// The live map over Leaflet. Without this file the plan and the list below it say the same.
const L = globalThis.L;
const box = document.getElementById("map");
const still = document.getElementById("still");
const words = JSON.parse(document.getElementById("map-words")?.textContent ?? "{}");
const SVG = "http://www.w3.org/2000/svg";
const URGENCY = ["danger", "bad", "unknown", "some", "good"];
// One shape for each word, so that nobody has to tell colours apart.
const SHAPES = {
  danger: "M24 3 46 43H2z", bad: "M24 3 45 24 24 45 3 24z", some: "M6 8h36v32H6z",
  unknown: "M15 4h18l12 12v16L33 44H15L3 32V16z", good: "M24 4a20 20 0 1 0 .01 0z",
};
const NEAR_PX = 76;
const CLOSEST = 20;
const REST_MS = 5000;

const rank = (site) => URGENCY.indexOf(site.word);
const say = (key, values = {}) => words[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

function made(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

function into(map, key, value) {
  if (map.has(key)) map.get(key).push(value);
  else map.set(key, [value]);
}

function sign(word, text) {
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("viewBox", "0 0 48 48");
  drawn.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", SHAPES[word]);
  shape.setAttribute("class", `shape c-${word}`);
  const label = document.createElementNS(SVG, "text");
  label.setAttribute("x", "24");
  label.setAttribute("y", word === "danger" ? "37" : "31");
  label.textContent = text;
  drawn.append(shape, label);
  return drawn;
}

// --- what is near another on the screen stands together, under the most urgent of them

function together(map, sites) {
  const cells = new Map();
  const found = [];
  for (const site of sites) {
    const at = map.project([site.lat, site.lon], map.getZoom());
    const [column, row] = [Math.floor(at.x / NEAR_PX), Math.floor(at.y / NEAR_PX)];
    let near = null;
    for (let dx = -1; dx <= 1 && !near; dx += 1) {
      for (let dy = -1; dy <= 1 && !near; dy += 1) {
        near = (cells.get(`${column + dx},${row + dy}`) ?? [])
          .find((group) => Math.abs(group.at.x - at.x) < NEAR_PX && Math.abs(group.at.y - at.y) < NEAR_PX) ?? null;
      }
    }
    if (near) {
      near.sites.push(site);
    } else {
      const group = { at, sites: [site] };
      found.push(group);
      into(cells, `${column},${row}`, group);
    }
  }
  return found;
}

// Corners of what encloses the points, counter-clockwise (Andrew's monotone chain).
function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turn = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (all) => {
    const kept = [];
    for (const point of all) {
      while (kept.length > 1 && turn(kept.at(-2), kept.at(-1), point) <= 0) kept.pop();
      kept.push(point);
    }
    return kept.slice(0, -1);
  };
  return sorted.length < 3 ? sorted : [...half(sorted), ...half(sorted.reverse())];
}

// --- the map itself

function opened() {
  box.hidden = false;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const map = L.map(box, {
    zoomControl: false, attributionControl: false, zoomSnap: box.dataset.tiles ? 1 : 0.25, scrollWheelZoom: false, maxZoom: CLOSEST, minZoom: 2,
    zoomAnimation: !calm, fadeAnimation: !calm, markerZoomAnimation: !calm, worldCopyJump: true,
  });
  // The wheel scrolls the page until somebody is at work on the map.
  map.on("focus", () => map.scrollWheelZoom.enable()).on("blur", () => map.scrollWheelZoom.disable());
  map.createPane("grids").style.zIndex = "250";
  under(map);
  L.control.zoom({ position: "bottomright", zoomInTitle: say("chart.closer"), zoomOutTitle: say("chart.wider") }).addTo(map);
  L.control.scale({ imperial: false, maxWidth: 140 }).addTo(map);
  const north = L.control({ position: "topright" });
  north.onAdd = () => made("div", { class: "north" }, made("span", { "aria-hidden": "true" }, "▲"), say("map.north"));
  north.addTo(map);
  return map;
}

function under(map) {
  const said = box.dataset;
  if (said.tiles) {
    const tiles = L.tileLayer(said.tiles, {
      maxNativeZoom: Number(said.zoom), maxZoom: CLOSEST, referrerPolicy: "strict-origin-when-cross-origin",
    }).addTo(map);
    const lost = document.getElementById("tiles-lost");
    tiles.on("tileerror", () => { lost.hidden = false; }).on("tileload", () => { lost.hidden = true; });
    const credit = made("div", { class: "credit" });
    if (said.creditUrl) credit.append(made("a", { href: said.creditUrl, rel: "noreferrer" }, said.credit));
    else credit.append(said.credit);
    const shown = L.control({ position: "bottomright" });
    shown.onAdd = () => credit;
    if (said.credit) shown.addTo(map);
  }
  if (said.picture) L.imageOverlay(said.picture, JSON.parse(said.bounds), { className: "own-plan", pane: "tilePane" }).addTo(map);
}

// The grids as soft shapes around their sites: what one has for a land where there are no tiles.
function land(layer, sites) {
  layer.clearLayers();
  const grids = new Map();
  for (const site of sites) into(grids, site.grid_code, site);
  for (const own of grids.values()) {
    const corners = hull(own.map((site) => [site.lat, site.lon]));
    const shape = L.polygon(corners, { className: "grid-shape", weight: 64, pane: "grids", interactive: false });
    layer.addLayer(shape);
    if (grids.size <= 40) {
      const top = corners.reduce((best, corner) => (corner[0] > best[0] ? corner : best));
      layer.addLayer(L.tooltip({ permanent: true, direction: "top", className: "grid-name", offset: [0, -24] })
        .setLatLng(top).setContent(made("span", {}, own[0].grid)));
    }
  }
}

// --- one site, or several, as a mark with a popup

function title(group) {
  const [first] = group.sites;
  return group.sites.length > 1
    ? say("map.together", { count: group.sites.length, worst: say(`map.${first.word}`) })
    : `${first.name}: ${say(`map.${first.word}`)}, ${say("map.usable", { usable: first.usable, all: first.ports })}`;
}

function face(group) {
  const [first] = group.sites;
  const count = group.sites.length;
  const open = group.sites.reduce((sum, site) => sum + site.tickets, 0);
  const many = count > 1;
  return made("div", { class: many ? "spot many" : "spot" }, sign(first.word, open ? String(open) : ""),
    made("span", {}, many ? say("map.sites", { count }) : first.name));
}

function tell(group, popup) {
  const [first] = group.sites;
  const inside = made("div", { class: "told", role: "dialog", "aria-label": title(group), tabindex: "-1" });
  if (group.sites.length > 1) {
    inside.append(made("h2", {}, title(group)), list(group.sites, (site) => `/console?site=${encodeURIComponent(site.code)}`, (site) => site.name));
    return inside;
  }
  const board = made("a", { href: `/console?site=${encodeURIComponent(first.code)}` }, say("map.board", { count: first.tickets }));
  const place = made("div", { class: "piles" }, made("p", { class: "meta" }, say("map.loading")));
  inside.append(made("h2", {}, first.name), made("p", {}, made("b", { class: `word w-${first.word}` }, say(`map.${first.word}`)),
    ` · ${say("map.usable", { usable: first.usable, all: first.ports })}`), made("p", {}, board), place);
  fetch(`/console/map/sites/${encodeURIComponent(first.code)}`).then(async (answer) => {
    if (!answer.ok) throw new Error(String(answer.status));
    const piles = await answer.json();
    place.replaceChildren(list(piles, (pile) => `/console/chargers/${encodeURIComponent(pile.code)}`, (pile) => pile.label));
    const reading = inside.contains(document.activeElement);
    popup.update(); // takes the content out and in again
    if (reading) inside.focus({ preventScroll: true });
  }).catch(() => place.replaceChildren(made("p", { class: "meta" }, say("map.failed"))));
  return inside;
}

function list(rows, href, name) {
  const all = made("ul", {});
  for (const row of rows) {
    all.append(made("li", {}, made("a", { href: href(row) }, sign(row.word, row.tickets ? String(row.tickets) : ""),
      made("span", {}, name(row), made("small", {}, `${say(`map.${row.word}`)} · ${say("map.usable", { usable: row.usable, all: row.ports })}`)))));
  }
  return all;
}

function open(map, { group }) {
  const bounds = L.latLngBounds(group.sites.map((site) => [site.lat, site.lon]));
  const apart = !bounds.getSouthWest().equals(bounds.getNorthEast(), 1e-5);
  if (group.sites.length > 1 && apart && map.getZoom() < CLOSEST) {
    map.getContainer().focus({ preventScroll: true });
    map.setView(bounds.getCenter(), Math.min(CLOSEST, Math.max(map.getBoundsZoom(bounds.pad(0.2)), map.getZoom() + 1)));
    return;
  }
  const popup = L.popup({ maxWidth: 320, minWidth: 230, maxHeight: 330, offset: [0, -14], autoPanPaddingTopLeft: [10, 10], autoPanPaddingBottomRight: [58, 10] });
  popup.setLatLng(bounds.getCenter()).setContent(tell(group, popup)).openOn(map);
}

function mark(map, group) {
  const icon = L.divIcon({ html: face(group), className: "spot-place", iconSize: [48, 48] });
  const marker = L.marker([group.sites[0].lat, group.sites[0].lon], { icon, riseOnHover: true });
  marker.group = group;
  marker.on("click", () => open(map, marker));
  marker.on("keydown", ({ originalEvent: event }) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    open(map, marker);
  });
  return marker;
}

function named(marker) {
  const element = marker.getElement();
  element.setAttribute("aria-label", title(marker.group));
  element.setAttribute("aria-haspopup", "dialog");
}

// Marks stay what they are while what they say changes, so that focus and an open popup stay, too.
function place(map, layer, marks, sites) {
  const seen = map.getBounds().pad(0.3);
  const fresh = new Map(together(map, sites).map((group) => [group.sites[0].code, group]));
  for (const [code, marker] of marks) {
    if (fresh.has(code) && seen.contains(marker.getLatLng())) continue;
    layer.removeLayer(marker);
    marks.delete(code);
  }
  for (const [code, group] of fresh) {
    const [first] = group.sites;
    if (!seen.contains([first.lat, first.lon])) continue;
    let marker = marks.get(code);
    if (marker && JSON.stringify(marker.group.sites) !== JSON.stringify(group.sites)) {
      marker.group = group;
      marker.getElement().replaceChildren(face(group));
    } else if (!marker) {
      marker = mark(map, group).addTo(layer);
      marks.set(code, marker);
    }
    marker.setZIndexOffset((URGENCY.length - rank(first)) * 1000);
    named(marker);
  }
}

async function load() {
  const answer = await fetch("/console/map/sites");
  if (!answer.ok) throw new Error(String(answer.status));
  return (await answer.json()).sort((a, b) => rank(a) - rank(b) || b.tickets - a.tickets);
}

function start(first) {
  let sites = first;
  const map = opened();
  still.hidden = true;
  const [layer, shapes, marks] = [L.layerGroup().addTo(map), L.layerGroup().addTo(map), new Map()];
  const everything = L.latLngBounds(sites.map((site) => [site.lat, site.lon]));
  const kept = JSON.parse(sessionStorage.getItem("map") ?? "null");
  if (kept) map.setView(kept.at, kept.zoom);
  else map.fitBounds(everything.pad(0.12), { maxZoom: 17 });
  const all = document.getElementById("map-all");
  all.hidden = false;
  all.addEventListener("click", () => map.fitBounds(everything.pad(0.12), { maxZoom: 17 }));
  const draw = () => place(map, layer, marks, sites);
  map.on("moveend", () => {
    sessionStorage.setItem("map", JSON.stringify({ at: map.getCenter(), zoom: map.getZoom() }));
    draw();
  });
  let opener = null;
  map.on("popupopen", ({ popup }) => {
    opener = document.activeElement;
    const close = popup.getElement().querySelector(".leaflet-popup-close-button");
    close.setAttribute("aria-label", say("map.close"));
    popup.getElement().querySelector(".told").focus({ preventScroll: true });
  });
  map.on("popupclose", () => { if (opener?.isConnected) opener.focus({ preventScroll: true }); });
  box.addEventListener("keydown", (event) => { if (event.key === "Escape") map.closePopup(); });
  land(shapes, sites);
  draw();
  box.dataset.ready = "1";
  // The page's own script renews the list when something changes; the map follows at its own pace.
  let due = 0;
  document.addEventListener("renewed", ({ detail }) => {
    if (detail !== "sites") return;
    due ||= setTimeout(async () => {
      due = 0;
      sites = await load().catch(() => sites);
      draw();
    }, REST_MS);
  });
}

// Without sites, or without an answer, the still plan stays.
if (box && L) load().then((sites) => { if (sites.length) start(sites); }, () => {});
