const WEB = /^https?:\/\//i;
const IMAGE = /^image\//i;
const TAG = /^base64:/i;
const BARE = /^[a-z0-9+/]+={0,2}$/i;

// The accepted forms of an image: an address, a data URL, `base64:<mime>:<payload>`, or the payload alone.
exports.toImageUrl = function toImageUrl(image) {
  if (typeof image !== "string") return null;
  if (WEB.test(image)) return image;
  if (image.startsWith("data:")) return IMAGE.test(image.slice("data:".length)) ? image : null;
  if (TAG.test(image)) return untag(image);
  return BARE.test(image) ? `data:image/png;base64,${image}` : null;
};

function untag(image) {
  const [, type, ...payload] = image.split(":");
  if (payload.length === 0) return `data:image/png;base64,${image}`;
  const mime = type || "image/png";
  return IMAGE.test(mime) ? `data:${mime};base64,${payload.join(":")}` : null;
}
