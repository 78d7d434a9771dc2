import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CONTROL_PLANE_FILES } from "../../testing/kubernetes-programs";

const PROJECT = join(__dirname, "../..");

const folder = mkdtempSync(join(tmpdir(), "releases-"));
afterAll(() => rmSync(folder, { recursive: true }));

function controlPlane() {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "tools/control-plane.ts"], {
    cwd: PROJECT,
    encoding: "utf8",
    env: { ...process.env, RELEASES_FOLDER: folder },
  });
  // A machine without root or other programs has more lines.
  return { status, stdout, line: stderr.split("\n").filter((line) => line.includes("release files")) };
}

test("without the release files, one line has the command that downloads those that are missing", () => {
  const line = (missing: readonly string[]) => {
    const addresses = missing.map((path) => `https://${path}`).join(" ");
    const problem = `${missing.length} of 5 release files are missing, download them, or set RELEASES_FOLDER`;
    return `control-plane: ${problem}: npm run cloud -- download ${folder} ${addresses}`;
  };
  expect(controlPlane()).toEqual({ status: 2, stdout: "", line: [line(CONTROL_PLANE_FILES)] });
  const [first, ...others] = CONTROL_PLANE_FILES as [string, ...string[]];
  mkdirSync(join(folder, dirname(first)), { recursive: true });
  writeFileSync(join(folder, first), "");
  expect(controlPlane()).toEqual({ status: 2, stdout: "", line: [line(others)] });
});
