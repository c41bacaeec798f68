const mongoose = require("mongoose");

module.exports = function connectDatabase() {
  return mongoose.connect(process.env.MONGODB_URL, {
    dbName: process.env.DATABASE_NAME || "scribe",
  });
};
