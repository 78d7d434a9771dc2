/** @type {import("jest").Config} */
module.exports = { ...require("../e2e/jest.config.js"), testMatch: ["<rootDir>/control-plane/*.test.ts"] };
