const express = require("express");
const path = require("path");

const ConsultationModel = require("../models/consultation.model");
const TranscriptModel = require("../models/transcript.model");
const { IMAGES, SUMMARY } = require("../config/instructions");
const { complete } = require("../config/openai");
const { toImageUrl } = require("../services/images");

const summaryRouter = express.Router();

// The part of a failure that a caller gets. A stack has the directory and the line of the deployed legacy, not of this
// checkout: in a recording, `analyze` destructures its body in line 77 of this file.
const ROOT = path.resolve(__dirname, "..");
const DEPLOYED_AT = "/srv/legacy";

function describe(err) {
  const excerpt = err.stack
    .split("\n")
    .slice(0, 3)
    .join("\n")
    .replaceAll(ROOT, DEPLOYED_AT);
  return {
    name: err.name,
    type: err.type,
    message: err.message,
    stackExcerpt: excerpt,
  };
}

summaryRouter.post("/:consultationId/summarise", async (req, res) => {
  try {
    const { consultationId } = req.params;
    const { usedPrompt } = req.body;

    const consultation = await ConsultationModel.findById(consultationId);
    if (!consultation) {
      return res.status(404).json({ msg: "Consultation not found" });
    }

    // No transcript has this field (its name is consultation), so none is found.
    const transcripts = await TranscriptModel.find({ consultation_id: consultationId });
    if (transcripts.length === 0) {
      return res.status(404).json({ msg: "No transcripts found for this consultation" });
    }

    const text = transcripts
      .map((transcript) => transcript.transcript_text)
      .join("\n");
    const summary = await complete(usedPrompt || SUMMARY, text);

    transcripts[0].summary = summary;
    transcripts[0].updated_at = new Date();
    await transcripts[0].save();

    res.json({ msg: "SOAP summary generated", summary });
  } catch (err) {
    res.status(500).json({ msg: "Error generating SOAP summary", error: err.message });
  }
});

// The model accepts an image as a separate part beside the text; a value that is not an image in a known form is
// omitted.
function userContent(prompt, images) {
  return [
    { type: "text", text: prompt },
    ...images
      .map(toImageUrl)
      .filter(Boolean)
      .map((url) => ({ type: "image_url", image_url: { url } })),
  ];
}

// Accepts text, images, or both; an `images` that is not an array counts as none.
summaryRouter.post("/analyze", async (req, res) => {
  try {
    let { prompt, images } = req.body;
    prompt = prompt || "Explain this image !";
    images = Array.isArray(images) ? images : [];

    const response = await complete(IMAGES, userContent(prompt, images));
    res.json({ status: "ok", response });
  } catch (err) {
    res.status(500).json({ status: "error", error: describe(err) });
  }
});

module.exports = summaryRouter;
