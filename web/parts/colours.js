// A colour for every type of wire, readable on light and dark canvases.

/** Hues by what flows: pictures warm, texts green, networks violet, numbers of a schedule blue. */
const HUES = {
  IMAGE: 25, MASK: 5, SAMPLE: 335, START: 310, TOKENS: 45, TOKEN_START: 60, FIGURE: 15,
  CONDITION: 140, CLIP_TEXT: 155, EMBEDDING: 120, TEXT_ENCODER: 170, CLIP_MODEL: 180, CLASS_EMBEDDER: 130,
  DENOISER: 265, SCHEDULE: 215, SCALE_SCHEDULE: 200, AUTOENCODER: 350, TOKEN_AUTOENCODER: 75, NOISED_CLIP: 190,
};
// The host's own names for what is the same there.
const OURS_ONLY = (type) => !["*", "INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "IMAGE", "MASK"].includes(type);

/** Relative luminance at which contrast with a dark node (#353535) and a white one is the same. */
const LUMINANCE = 0.235;

const linear = (channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);

/** Relative luminance of red, green and blue in [0, 1] (WCAG 2). */
export const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);

function fromHsl(hue, saturation, lightness) {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((offset) => {
    const k = (offset + hue / 30) % 12;
    return lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  });
}

/** The colour of a hue at that luminance, "#rrggbb". */
export function readable(hue) {
  let [low, high] = [0, 1];
  for (let step = 0; step < 20; step++) {
    const middle = (low + high) / 2;
    if (luminance(fromHsl(hue, 0.75, middle)) < LUMINANCE) low = middle;
    else high = middle;
  }
  const channels = fromHsl(hue, 0.75, low).map((channel) => Math.round(channel * 255));
  return `#${channels.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}

/** The hue of a type: its own, or for types that are not in the table one made of its name. */
export function hueOf(type) {
  if (type in HUES) return HUES[type];
  let sum = 0;
  for (const letter of type) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

/** Give our types of wire their colours; a palette that names a type itself keeps its own. */
export function colourTypes(app, types) {
  for (const type of types.filter(OURS_ONLY)) {
    const colour = readable(hueOf(type));
    for (const table of [app.canvas?.default_connection_color_byType, window.LGraphCanvas?.link_type_colors]) {
      if (table && !table[type]) table[type] = colour;
    }
    if (!document.documentElement.style.getPropertyValue(`--color-datatype-${type}`)) {
      document.documentElement.style.setProperty(`--color-datatype-${type}`, colour);
    }
  }
}
