// Numbers and shapes as people read them.

/** Seconds: "12 ms", "0.94 s", "3 min 20 s". */
export function seconds(value) {
  if (value < 0.001) return "< 1 ms";
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 100) return `${Number(value.toPrecision(2))} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

/** Bytes: "512 B", "12 kB", "1.5 GB". */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit ? Number(value.toPrecision(2)) : value} ${units[unit]}`;
}

/** A number with as many digits as tell something. */
export function number(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  const shown = Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(2) : value.toPrecision(4);
  return shown.includes("e") ? shown : String(Number(shown));
}

/** Dims as the server writes them ("1 3 32 32 @space=pixels @sides=8") as people read them: "1×3×32×32 pixels". */
export function dims(text) {
  const words = text.split(" ").filter(Boolean);
  const axes = words.filter((word) => !word.startsWith("@"));
  const tags = words.filter((word) => word.includes("=") && word.startsWith("@")).map((word) => word.split("=")[1]);
  const names = tags.filter((tag) => !/^\d+$/.test(tag));
  // Axes of which nothing is known tell nothing.
  return [axes.every((axis) => axis === "_") ? "" : axes.join("×"), ...names].filter(Boolean).join(" ");
}
