const common = {
  transform: { "\\.ts$": ["@swc/jest", { jsc: { parser: { syntax: "typescript" }, target: "es2022" } }] },
  modulePathIgnorePatterns: ["<rootDir>/.cloud/", "<rootDir>/cdktf.out"],
  // cdktf records a call stack for each element. With many elements, this takes most of a test's time.
  moduleNameMapper: { "/private/stack-trace$": "<rootDir>/testing/no-stack-trace.ts" },
};

/** @type {import("jest").Config} */
module.exports = {
  projects: [
    // Functions and constructs, in this process.
    {
      ...common,
      displayName: "unit",
      testMatch: [
        "<rootDir>/__tests__/{model,kubernetes,settings,constructs,review,cloud}/**/*.test.ts",
        "<rootDir>/__tests__/rooms.test.ts",
      ],
    },
    // Whole programs.
    { ...common, displayName: "programs", testMatch: ["<rootDir>/__tests__/{credentials,tools}/**/*.test.ts"] },
    // Real ssh hosts, Terraform and the emulated cloud: more than a plain machine has.
    { ...common, displayName: "hosts", testMatch: ["<rootDir>/__tests__/hosts/**/*.test.ts"] },
  ],
  testTimeout: 60_000,
  maxWorkers: "100%",
  globalSetup: "<rootDir>/testing/left-out.ts",
};
