// Words, numbers, and elements. Texts only ever become text nodes: nothing is read as HTML.
const words = JSON.parse(document.getElementById("words").textContent);
export const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";

export function t(key, values = {}) {
  const text = words[key] ?? key.split(".").slice(1).join(".");
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
export const has = (key) => key in words;

const date = new Intl.DateTimeFormat(document.documentElement.lang,
  { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
export const when = (moment) => date.format(new Date(moment));
const numbers = new Intl.NumberFormat(document.documentElement.lang);
export const number = (value) => numbers.format(value);

// h("p.hint", { onclick }, "text", child, …)
export function h(name, given = {}, ...inner) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (["value", "checked", "disabled", "srcObject", "hidden"].includes(key)) made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...real(inner));
  return made;
}
const real = (inner) => inner.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false);
export const fill = (element, ...inner) => element.replaceChildren(...real(inner));

const SVG = "http://www.w3.org/2000/svg";
export function s(name, given = {}, ...inner) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
  made.append(...inner);
  return made;
}

export const field = (label, input, hint) => {
  input.id ||= `f${Math.random().toString(36).slice(2)}`;
  return h("div.field", {}, h("label", { for: input.id }, label), input, hint && h("p.hint", {}, hint));
};
