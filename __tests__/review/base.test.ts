import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../model/user-error";
import { synthesizeCheckout, synthesizeReference } from "../../review/base";

/** The app of a project. It writes its own generation and context as the document of the stack. */
const APP = `
const { mkdirSync, writeFileSync } = require("node:fs");
const out = process.env.CDKTF_OUTDIR;
mkdirSync(out + "/stacks/a", { recursive: true });
writeFileSync(out + "/manifest.json", JSON.stringify({ stacks: { a: { synthesizedStackPath: "stacks/a/cdk.tf.json" } } }));
writeFileSync(out + "/stacks/a/cdk.tf.json", JSON.stringify({ generation: GENERATION, context: process.env.CDKTF_CONTEXT_JSON }));
`;

describe("synthesizeReference", () => {
  const project = mkdtempSync(join(tmpdir(), "review-project-"));
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.com", ...args], {
      cwd: project,
      stdio: "pipe",
    }).toString();

  function commit(app: string, tag: string): void {
    writeFileSync(join(project, "app.js"), app);
    git("add", "-A");
    git("commit", "-q", "-m", tag);
    git("tag", tag);
  }

  beforeAll(() => {
    git("init", "-q");
    writeFileSync(
      join(project, "cdktf.json"),
      JSON.stringify({ app: "node app.js", context: { cluster: { name: "x" } } }),
    );
    writeFileSync(join(project, "package-lock.json"), "{}");
    writeFileSync(join(project, "package.json"), "{}");
    commit(APP.replace("GENERATION", "1"), "one");
    commit('console.error("workers.count is wrong\\nand more"); process.exit(1);', "broken");
    commit("throw new RangeError('too many');", "throwing");
    writeFileSync(join(project, "package-lock.json"), "nothing");
    commit(APP.replace("GENERATION", "1"), "uninstallable");
    writeFileSync(join(project, "package-lock.json"), "{}");
    commit(APP.replace("GENERATION", "2"), "two");
  });

  afterAll(() => rmSync(project, { recursive: true }));

  /** The temporary folders with a worktree of this project. Other processes may have some too. */
  const temporary = () =>
    readdirSync(tmpdir()).filter((name) => {
      const link = join(tmpdir(), name, "base/.git");
      return name.startsWith("review-base-") && existsSync(link) && readFileSync(link, "utf8").includes(project);
    });

  test("synthesizes the code of the reference, and synthesizeCheckout that of the working tree", async () => {
    writeFileSync(join(project, "app.js"), APP.replace("GENERATION", "3"));
    expect(await synthesizeReference(project, "one")).toEqual({
      a: { generation: 1, context: '{"cluster":{"name":"x"}}' },
    });
    expect(await synthesizeCheckout(project, "the working tree")).toMatchObject({ a: { generation: 3 } });
  });

  test.each([
    ["no-such", "'--base' must be a git reference, got: no-such"],
    ["--help", "'--base' must be a git reference, got: --help"],
    ["broken", "broken does not synthesize: workers.count is wrong"],
    ["throwing", "throwing does not synthesize: RangeError: too many"],
  ])("refuses %s in one line and leaves no worktree behind", async (reference, message) => {
    const before = temporary();
    await expect(synthesizeReference(project, reference)).rejects.toThrow(new UserError(message));
    expect(git("worktree", "list").trim().split("\n")).toHaveLength(1);
    expect(temporary()).toEqual(before);
  });

  test("reports dependencies that cannot be installed in one line and leaves no worktree behind", async () => {
    const message = /^the base's dependencies cannot be installed: [^\n]*`npm ci`[^\n]*$/;
    await expect(synthesizeReference(project, "uninstallable")).rejects.toThrow(message);
    expect(git("worktree", "list").trim().split("\n")).toHaveLength(1);
  });

  test("refuses a folder that is no git checkout in one line", async () => {
    const folder = mkdtempSync(join(tmpdir(), "no-git-"));
    await expect(synthesizeReference(folder, "HEAD")).rejects.toThrow(
      `the project must be a git checkout, got: ${folder}`,
    );
    rmSync(folder, { recursive: true });
  });
});
