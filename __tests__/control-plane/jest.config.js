/** @type {import("jest").Config} */
module.exports = { ...require("../e2e/jest.config.js"), testMatch: ["<rootDir>/__tests__/control-plane/*.test.ts"] };
