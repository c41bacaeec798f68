const jwt = require("jsonwebtoken");

const BlackTokenModel = require("../models/blackToken.model");

module.exports = async function authenticate(req, res, next) {
  const token = req.headers.authorization?.split(" ")[1];
  if (!token) {
    return res.status(401).json({ msg: "Please login, no token provided" });
  }

  try {
    // Never finds a document, because the field is named blackToken.
    const loggedOut = await BlackTokenModel.findOne({ token });
    if (loggedOut) {
      return res.status(401).json({ msg: "Session logged out. Please log in again." });
    }

    req.user = jwt.verify(token, process.env.JWT_SECRET_KEY);
    next();
  } catch (err) {
    if (err.name === "TokenExpiredError") {
      return res.status(401).json({ msg: "Token expired. Please log in again." });
    }
    res.status(401).json({ msg: "Not authorized, invalid token", error: err.message });
  }
};
