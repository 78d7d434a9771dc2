import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describeSuite } from "../../cloud/requirements";

const PROGRAM = join(__dirname, "../../tools/check-scripts.sh");

let project: string;

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), "check-scripts-"));
});

afterEach(() => {
  rmSync(project, { recursive: true });
});

test("without shellcheck, one line says how to get it", () => {
  symlinkSync("/usr/bin/dirname", join(project, "dirname"));
  const { status, stdout, stderr } = spawnSync("/bin/sh", [PROGRAM], { env: { PATH: project }, encoding: "utf8" });
  expect({ status, stdout, stderr }).toEqual({
    status: 1,
    stdout: "",
    stderr: "shellcheck is missing: install the package shellcheck\n",
  });
});

describeSuite("checks of shell scripts", () => {
  test("a fault in each folder with scripts is found", () => {
    const scripts = ["kubernetes/scripts/a.sh", "cloud/machine/b.sh", "tools/c.sh", ".ci/run", ".ci/cdktn"];
    for (const script of scripts) {
      mkdirSync(dirname(join(project, script)), { recursive: true });
      writeFileSync(join(project, script), "#!/bin/sh\nrm $1\n");
    }
    const copy = join(project, "tools/check-scripts.sh");
    copyFileSync(PROGRAM, copy);
    const { status, stdout } = spawnSync("sh", [copy], { encoding: "utf8" });
    expect([status, [...stdout.matchAll(/^In (\S+) line 2:/gm)].map(([, name]) => name)]).toEqual([1, scripts]);
  });
});
