import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mirrorProblems } from "../../cloud/mirror/release-files";

let mirror: string;

beforeEach(() => {
  mirror = mkdtempSync(join(tmpdir(), "mirror-"));
  mkdirSync(join(mirror, "host"));
});

afterEach(() => rmSync(mirror, { recursive: true }));

const ADDRESS = "http://198.51.100.1";

/** A synthesized stack with a table of one program. */
const stack = (sum: string, address = ADDRESS) =>
  JSON.stringify({ content: `a 1.0.0 program /usr/local/bin ${sum} ${address}/host/a ${address}/host/a.sha256 a\n` });

test("a mirror has the files that a stack's machines download, with the sums of the stack", () => {
  const sum = createHash("sha256").update("content").digest("hex");
  expect(mirrorProblems(mirror, ADDRESS, stack(sum))).toEqual([
    `the mirror ${mirror} must have the file host/a, got: none`,
  ]);
  writeFileSync(join(mirror, "host/a"), "content");
  expect(mirrorProblems(mirror, ADDRESS, stack(sum))).toEqual([]);
  expect(mirrorProblems(mirror, ADDRESS, stack("-"))).toEqual([]);
  expect(mirrorProblems(mirror, ADDRESS, stack("0".repeat(64)))).toEqual([
    `the mirror's host/a must have the SHA-256 sum ${"0".repeat(64)}, got: ${sum}`,
  ]);
  expect(mirrorProblems(mirror, ADDRESS, stack("0".repeat(64), "https://example.com"))).toEqual([]);
});
