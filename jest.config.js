/** @type {import("jest").Config} */
module.exports = {
  testMatch: ["<rootDir>/__tests__/**/*.test.ts"],
  transform: { "\\.ts$": ["@swc/jest", { jsc: { parser: { syntax: "typescript" }, target: "es2022" } }] },
  modulePathIgnorePatterns: ["<rootDir>/.cloud/", "<rootDir>/cdktf.out/"],
  // cdktf records where each element was made; many elements make that most of a test's time.
  moduleNameMapper: { "/private/stack-trace$": "<rootDir>/testing/no-stack-trace.ts" },
  // The suites with real ssh mostly wait.
  testTimeout: 60_000,
  maxWorkers: "100%",
  globalSetup: "<rootDir>/testing/left-out.ts",
};
