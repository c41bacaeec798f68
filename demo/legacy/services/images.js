const WEB = /^https?:\/\//i;
const DATA = /^data:image\//i;
const TAGGED = /^base64:(image\/[a-z0-9.+-]+):(.+)$/i;
const BARE = /^[a-z0-9+/]+={0,2}$/i;

// The forms an image may come in: an address, a data URL, `base64:<mime>:<payload>`, or the payload alone.
exports.toImageUrl = function toImageUrl(image) {
  if (typeof image !== "string") return null;
  if (WEB.test(image) || DATA.test(image)) return image;
  const tagged = image.match(TAGGED);
  if (tagged) return `data:${tagged[1]};base64,${tagged[2]}`;
  return BARE.test(image) ? `data:image/png;base64,${image}` : null;
};
