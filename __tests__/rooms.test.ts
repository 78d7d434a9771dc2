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
        ],
        ...["cdktf", "cdktf/lib/tokens", "zod", "zod/v4", "node:fs", "fs", "fs/promises", "child_process"],
      ],
    },
    kubernetes: { allowed: ["../model/ports"], refused: ["../constructs", "../settings/load", "cdktf"] },
    settings: { allowed: ["../model/ports", "zod"], refused: ["../constructs", "../kubernetes/kubeconfig", "cdktf"] },
    constructs: { allowed: ["../model/ports", "../kubernetes/kubeconfig"], refused: ["../settings/load", "zod"] },
    credentials: {
      allowed: ["../model/ports", "../kubernetes/kubeconfig"],
      refused: ["../constructs", "../review/plan"],
    },
    review: {
      allowed: ["../model/ports"],
      refused: ["../constructs", "../constructs/file-distribution", "../credentials/check"],
    },
    "kubernetes/components": { allowed: ["../../model/ports", "../kubeconfig"], refused: ["../../constructs/index"] },
    "cloud/kubernetes": { allowed: ["../program"], refused: ["../../testing/tutorial"] },
    tools: { allowed: ["../review/plan", "constructs"], refused: ["../testing/synthesize", "../__tests__/a"] },
    cloud: { allowed: ["../model/ports"], refused: ["../testing/tutorial", "../tools/docs", "../constructs"] },
  };

/** Writes files with planted imports, runs Biome once, and returns the files that the project's lint rule refuses. */
function refusedFiles(planted: Readonly<Record<string, string>>): string[] {
  const folder = mkdtempSync(join(tmpdir(), "rooms-"));
  try {
    cpSync(join(PROJECT, "biome.json"), join(folder, "biome.json"));
    for (const [path, specifier] of Object.entries(planted)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), `import * as planted from "${specifier}";\nconsole.log(planted);\n`);
    }
    const args = ["lint", "--only=style/noRestrictedImports", "--max-diagnostics=none", "--reporter=github", "."];
    const { stdout } = spawnSync(join(PROJECT, "node_modules/.bin/biome"), args, { cwd: folder, encoding: "utf8" });
    return [...stdout.matchAll(/noRestrictedImports,file=([^,]+)/g)].map(([, path]) =>
      relative(folder, path as string),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.each(["allowed", "refused"] as const)("the lint rule checks the imports between rooms: %s", (kind) => {
  const cases = Object.entries(IMPORTS).flatMap(([room, imports]) =>
    imports[kind].map((specifier, index) => [`${room}/planted-${index}.ts`, specifier] as const),
  );
  const expected = kind === "refused" ? cases.map(([path]) => path) : [];
  expect(refusedFiles(Object.fromEntries(cases)).sort()).toEqual(expected.sort());
});
