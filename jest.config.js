const common = {
  transform: { "\\.ts$": ["@swc/jest", { jsc: { parser: { syntax: "typescript" }, target: "es2022" } }] },
  modulePathIgnorePatterns: ["<rootDir>/.cloud/", "<rootDir>/cdktf.out/"],
  // cdktf records where each element was made; many elements make that most of a test's time.
  moduleNameMapper: { "/private/stack-trace$": "<rootDir>/testing/no-stack-trace.ts" },
};

/** @type {import("jest").Config} */
module.exports = {
  // Start real machines or programs that mostly wait, and need more than a plain machine has.
  projects: [
    {
      ...common,
      displayName: "unit",
      testMatch: ["<rootDir>/__tests__/{model,kubernetes,settings,constructs,review}/**/*.test.ts"],
    },
    {
      ...common,
      displayName: "hosts",
      testMatch: ["<rootDir>/__tests__/{credentials,hosts,tools}/**/*.test.ts", "<rootDir>/__tests__/rooms.test.ts"],
    },
  ],
  testTimeout: 60_000,
  maxWorkers: "100%",
  globalSetup: "<rootDir>/testing/left-out.ts",
};
