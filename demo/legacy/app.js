const express = require("express");
const cors = require("cors");

const authenticate = require("./middleware/authenticate");
const userRouter = require("./routes/user.routes");
const searchRouter = require("./routes/search.routes");
const summaryRouter = require("./routes/summary.routes");
const noteRouter = require("./routes/note.routes");
const transcriptRouter = require("./routes/transcript.routes");
const consultationRouter = require("./routes/consultation.routes");
const promptRouter = require("./routes/prompt.routes");

const app = express();

const FRONTENDS =
  process.env.ALLOWED_ORIGINS ||
  "https://scribe-project-nextjs.vercel.app,http://localhost:3000,http://localhost:3001";

app.use(
  cors({
    origin: FRONTENDS.split(",").map((origin) => origin.trim()),
    methods: ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"],
    allowedHeaders: ["Content-Type", "Authorization"],
    credentials: true,
  })
);

app.get("/", (req, res) => {
  res.json({ msg: "welcome to the server" });
});

app.use(express.json({ limit: "10mb" }));

app.use("/users", userRouter);
app.use("/api/ai", authenticate, searchRouter);
app.use("/api/ai", authenticate, summaryRouter);
app.use("/api/notes", authenticate, noteRouter);
app.use("/api/transcript", authenticate, transcriptRouter);
app.use("/api/consultation", authenticate, consultationRouter);
app.use("/api/prompts", authenticate, promptRouter);

module.exports = app;
