import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";

const PROJECT = join(__dirname, "..");

/** Allowed and refused imports of each room, as docs/architecture.md draws them. */
const IMPORTS: Readonly<Record<string, { readonly allowed: readonly string[]; readonly refused: readonly string[] }>> =
  {
    model: {
      allowed: ["./ports", "node:crypto"],
      refused: [
        ...[
          "../kubernetes/kubeconfig",
          "../settings/load",
          "./../constructs",
          "../model/../constructs/index",
          "../main",
          "../main.js",
        ],
        ...["cdktf", "cdktf/lib/tokens", "zod", "zod/v4"],
        ...["node:fs", "fs", "fs/promises", "child_process", "dns", "http2", "worker_threads", "crypto"],
      ],
    },
    kubernetes: { allowed: ["../model/ports"], refused: ["../constructs", "../settings/load", "cdktf"] },
    settings: { allowed: ["../model/ports", "zod"], refused: ["../constructs", "../kubernetes/kubeconfig", "cdktf"] },
    constructs: { allowed: ["../model/ports", "../kubernetes/kubeconfig"], refused: ["../settings/load", "zod"] },
    credentials: {
      allowed: ["../model/ports", "../kubernetes/kubeconfig"],
      refused: ["../constructs", "../review/plan", "../operations/remove"],
    },
    operations: {
      allowed: ["../model/ports", "../kubernetes/machine", "../credentials/ssh"],
      refused: ["../constructs", "../review/plan", "../cloud/program", "../tools/program", "../testing/host", "cdktf"],
    },
    review: {
      allowed: ["../model/ports", "../kubernetes/kubeconfig"],
      refused: ["../constructs", "../constructs/file-distribution", "../credentials/check"],
    },
    "kubernetes/components": { allowed: ["../../model/ports", "../kubeconfig"], refused: ["../../constructs/index"] },
    "cloud/mirror": { allowed: ["../program"], refused: ["../../testing/tutorial", "../../kubernetes/kubeconfig"] },
    tools: {
      allowed: ["../review/plan", "constructs"],
      refused: ["../testing/synthesize", "../__tests__", "../__tests__/a"],
    },
    cloud: {
      allowed: ["../model/ports", "./mirror/mirror"],
      refused: ["../testing/tutorial", "../tools/docs", "../constructs", "../kubernetes/kubeconfig"],
    },
  };

/** The lint rules about imports. */
const RULES = ["noRestrictedImports", "useNodejsImportProtocol", "noCommonJs"] as const;

/** Writes files with a planted line each, runs Biome once, and returns the files that the project's lint rules refuse. */
function refusedFiles(planted: Readonly<Record<string, string>>): string[] {
  const folder = mkdtempSync(join(tmpdir(), "rooms-"));
  try {
    cpSync(join(PROJECT, "biome.json"), join(folder, "biome.json"));
    for (const [path, line] of Object.entries(planted)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), `${line}\n`);
    }
    const only = RULES.map((rule) => `--only=style/${rule}`);
    const args = ["lint", ...only, "--max-diagnostics=none", "--reporter=github", "."];
    const { stdout } = spawnSync(join(PROJECT, "node_modules/.bin/biome"), args, { cwd: folder, encoding: "utf8" });
    const found = [...stdout.matchAll(/^::error title=.*?,file=([^,]+)/gm)];
    return [...new Set(found.map(([, path]) => relative(folder, path as string)))];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.each(["allowed", "refused"] as const)("the lint rule checks the imports between rooms: %s", (kind) => {
  const cases = Object.entries(IMPORTS).flatMap(([room, imports]) =>
    imports[kind].map(
      (specifier, index) =>
        [`${room}/planted-${index}.ts`, `import * as a from "${specifier}"; console.log(a);`] as const,
    ),
  );
  const expected = kind === "refused" ? cases.map(([path]) => path) : [];
  expect(refusedFiles(Object.fromEntries(cases)).sort()).toEqual(expected.sort());
});

test("the lint rules check every way to load a module", () => {
  const ways = [
    'const a = require("../constructs/index"); console.log(a);',
    'const a = require("zod"); console.log(a);',
    'import a = require("cdktf"); console.log(a);',
    'export * from "../constructs/index";',
    'export const load = () => import("../constructs/index");',
  ];
  const planted = Object.fromEntries(ways.map((line, index) => [`model/planted-${index}.ts`, line]));
  expect(refusedFiles(planted).sort()).toEqual(Object.keys(planted));
});
