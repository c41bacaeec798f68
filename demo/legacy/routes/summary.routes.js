const express = require("express");
const path = require("path");

const ConsultationModel = require("../models/consultation.model");
const TranscriptModel = require("../models/transcript.model");
const { complete } = require("../config/openai");
const { toImageUrl } = require("../services/images");

const summaryRouter = express.Router();

const SOAP_PROMPT =
  "You are a clinician's assistant. Write a SOAP note (Subjective, Objective, Assessment, Plan) of the" +
  " consultation below, in British English, using only what was said.";

const IMAGE_INSTRUCTIONS =
  "You are a UK medical expert who explains clinical images and documents to clinicians. Describe what is" +
  " seen in each image, what it may mean under UK guidance, and what to consider next. Answer in markdown.";

// What a caller gets to see of a failure. Stack traces name the place where the service is deployed, wherever this checkout is.
const ROOT = path.resolve(__dirname, "..");
const DEPLOYED_AT = "/srv/legacy";

function describe(err) {
  const lines = err.stack.split("\n").slice(0, 3);
  return {
    name: err.name,
    type: err.type,
    message: err.message,
    stackExcerpt: lines.join("\n").replaceAll(ROOT, DEPLOYED_AT),
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

    // No transcript has this field (it is called consultation), so none is ever found.
    const transcripts = await TranscriptModel.find({ consultation_id: consultationId });
    if (transcripts.length === 0) {
      return res.status(404).json({ msg: "No transcripts found for this consultation" });
    }

    const text = transcripts
      .map((transcript) => transcript.transcript_text)
      .join("\n");
    const summary = await complete(usedPrompt || SOAP_PROMPT, text);

    transcripts[0].summary = summary;
    transcripts[0].updated_at = new Date();
    await transcripts[0].save();

    res.json({ msg: "SOAP summary generated", summary });
  } catch (err) {
    res.status(500).json({ msg: "Error generating SOAP summary", error: err.message });
  }
});

function userContent(prompt, images) {
  return [
    { type: "text", text: prompt },
    ...images
      .map(toImageUrl)
      .filter(Boolean)
      .map((url) => ({ type: "image_url", image_url: { url } })),
  ];
}

// Takes words, pictures, or both.
summaryRouter.post("/analyze", async (req, res) => {
  try {
    let { prompt, images } = req.body;
    prompt = prompt || "Explain this image !";
    images = Array.isArray(images) ? images : [];

    const response = await complete(IMAGE_INSTRUCTIONS, userContent(prompt, images));
    res.json({ status: "ok", response });
  } catch (err) {
    res.status(500).json({ status: "error", error: describe(err) });
  }
});

module.exports = summaryRouter;
