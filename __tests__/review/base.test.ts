import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../model/user-error";
import { settingsFile, stackOf, synthesizeBoth, synthesizeCheckout, synthesizeReference } from "../../review/base";
import { fileChanges } from "../../review/compare";
import { findingsOf } from "../../review/findings";

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
      stacks: { a: { generation: 1, context: '{"cluster":{"name":"x"}}' } },
      files: { "cdktf.json": { app: "node app.js" } },
      settings: JSON.stringify({ app: "node app.js", context: { cluster: { name: "x" } } }),
    });
    expect(await synthesizeCheckout(project, "the working tree")).toMatchObject({ stacks: { a: { generation: 3 } } });
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

  describe("with CLUSTER_SETTINGS", () => {
    /** An app whose document is its settings file. */
    const SETTINGS_APP = APP.replace(
      "GENERATION",
      'JSON.parse(require("node:fs").readFileSync(process.env.CLUSTER_SETTINGS, "utf8"))',
    );

    beforeAll(() => {
      mkdirSync(join(project, "clusters"));
      writeFileSync(join(project, "clusters/a.json"), "1");
      symlinkSync(join(project, "clusters/a.json"), join(project, "clusters/link.json"));
      commit(SETTINGS_APP, "settings");
      writeFileSync(join(project, "clusters/a.json"), "2");
    });

    afterEach(() => {
      delete process.env.CLUSTER_SETTINGS;
    });

    test.each(["clusters/a.json", "./clusters/../clusters/a.json", join(project, "clusters/a.json")])(
      "%s is each version's own file",
      async (path) => {
        process.env.CLUSTER_SETTINGS = path;
        const [before, after] = await synthesizeBoth(project, "settings");
        expect([before.stacks.a?.generation, after.stacks.a?.generation]).toEqual([1, 2]);
        expect([before.settings, after.settings]).toEqual(["1", "2"]);
        expect(await settingsFile(project)).toEqual({ path: "clusters/a.json", text: "2" });
      },
    );

    test("a file that the reference does not have is refused, with the way out", async () => {
      process.env.CLUSTER_SETTINGS = "clusters/b.json";
      writeFileSync(join(project, "clusters/b.json"), "3");
      await expect(synthesizeBoth(project, "settings")).rejects.toThrow(
        new UserError(
          "settings has no clusters/b.json, which 'CLUSTER_SETTINGS' names: commit the settings of the running cluster there, or use --plan",
        ),
      );
    });

    test.each(["/etc/hostname", "../a.json", join(project, "clusters/link.json")])(
      "%s is refused, because both versions would have it",
      async (path) => {
        process.env.CLUSTER_SETTINGS = path;
        await expect(synthesizeBoth(project, "settings")).rejects.toThrow(
          new UserError(
            `'CLUSTER_SETTINGS' must be a file in ${project}, so that each version has its own, got: ${path}`,
          ),
        );
      },
    );
  });

  test("a change of cdktf.json outside of the context is a change of the command, of the state's place, or unknown", async () => {
    const file = join(project, "cdktf.json");
    const text = readFileSync(file, "utf8");
    const kindsOf = async (more: object) => {
      writeFileSync(file, JSON.stringify({ ...JSON.parse(text), ...more }));
      const [before, after] = await synthesizeBoth(project, "two");
      const elsewhere = fileChanges(before.files, after.files);
      return findingsOf({ resources: [], counts: [], copies: [], elsewhere }).map(({ kind }) => kind);
    };
    writeFileSync(join(project, "app.js"), APP.replace("GENERATION", "2"));
    try {
      expect(await kindsOf({ app: "node --no-warnings app.js" })).toEqual(["commands"]);
      expect(await kindsOf({ output: "docs/out" })).toEqual(["backend"]);
      expect(await kindsOf({ terraformProviders: ["evil/null"], language: "python" })).toEqual(["unknown"]);
      expect(await kindsOf({ context: { cluster: { name: "y" } } })).toEqual([]);
    } finally {
      writeFileSync(file, text);
    }
  });

  describe("a file beside the synthesized ones", () => {
    const stack = join(project, "cdktf.out/stacks/a");
    const add = (path: string, text = "x") => {
      mkdirSync(join(stack, path, ".."), { recursive: true });
      writeFileSync(join(stack, path), text);
    };
    const lineFor = (name: string, path: string) =>
      `the folder of a stack must have no files of Terraform other than synthesis writes, got in ${name}: cdktf.out/${path}`;

    beforeEach(() => writeFileSync(join(project, "app.js"), APP.replace("GENERATION", "2")));
    afterEach(() => {
      git("reset", "-q", "--hard", "two");
      rmSync(join(project, "cdktf.out"), { recursive: true, force: true });
      rmSync(join(project, ".git/info/exclude"), { force: true });
    });

    test.each([
      "more.tf",
      "cdk_override.tf.json",
      "x.auto.tfvars.json",
      "terraform.d/plugins/x",
      ".terraform/environment",
      "../../x",
    ])("%s is refused, in the working tree and in the base", async (file) => {
      add(file);
      const path = join("stacks/a", file);
      await expect(synthesizeBoth(project, "two")).rejects.toThrow(new UserError(lineFor("the working tree", path)));
      git("add", "-A");
      git("commit", "-q", "-m", "more");
      await expect(synthesizeReference(project, "HEAD")).rejects.toThrow(new UserError(lineFor("HEAD", path)));
    });

    test("a file that git ignores is refused if Terraform reads it", async () => {
      writeFileSync(join(project, ".git/info/exclude"), "cdktf.out\n");
      for (const file of ["cdk.tf.json", ".terraform/environment", "terraform.tfstate", "plan"]) add(file);
      await synthesizeBoth(project, "two");
      add("more.tf");
      const message = lineFor("the working tree", "stacks/a/more.tf");
      await expect(synthesizeBoth(project, "two")).rejects.toThrow(new UserError(message));
    });

    test("a link instead of the folder of the stacks is refused", async () => {
      symlinkSync("elsewhere", join(project, "cdktf.out"));
      await expect(synthesizeBoth(project, "two")).rejects.toThrow(/^the folder of a stack must have no files/);
    });

    test("another lock file is another provider, and one that only `terraform init` wrote is none", async () => {
      add(".terraform.lock.hcl", "one");
      const kinds = async () => {
        const [before, after] = await synthesizeBoth(project, "HEAD");
        const elsewhere = fileChanges(before.files, after.files);
        return findingsOf({ resources: [], counts: [], copies: [], elsewhere }).map(({ kind }) => kind);
      };
      expect(await kinds()).toEqual([]);
      git("add", "-A");
      expect(await kinds()).toEqual(["provider"]);
      git("commit", "-q", "-m", "lock");
      expect(await kinds()).toEqual([]);
      add(".terraform.lock.hcl", "two");
      expect(await kinds()).toEqual(["provider"]);
    });
  });

  test("works in a folder of a larger repository, and with the variables of a git hook", async () => {
    const larger = mkdtempSync(join(tmpdir(), "larger-"));
    const inLarger = (...args: string[]) =>
      execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.com", ...args], { cwd: larger });
    cpSync(project, join(larger, "infra"), {
      recursive: true,
      filter: (path) => !path.includes("/.git") && !path.includes("/clusters"),
    });
    writeFileSync(join(larger, "infra/app.js"), APP.replace("GENERATION", "require('../lib.js')"));
    writeFileSync(join(larger, "lib.js"), "module.exports = 7;");
    inLarger("init", "-q");
    inLarger("add", "-A");
    inLarger("commit", "-q", "-m", "a");
    process.env.GIT_DIR = ".git";
    try {
      expect(await synthesizeReference(join(larger, "infra"), "HEAD")).toMatchObject({
        stacks: { a: { generation: 7 } },
      });
      expect(inLarger("-C", larger, "status", "--porcelain").toString()).toBe("");
    } finally {
      delete process.env.GIT_DIR;
      rmSync(larger, { recursive: true });
    }
  });

  test("reports a repository that git does not trust in one line", async () => {
    const other = mkdtempSync(join(tmpdir(), "other-"));
    execFileSync("git", ["init", "-q"], { cwd: other });
    process.env.GIT_TEST_ASSUME_DIFFERENT_OWNER = "1";
    try {
      await expect(synthesizeReference(other, "HEAD")).rejects.toThrow(
        /^git cannot read .*: detected dubious ownership in repository at '[^\n]*$/,
      );
    } finally {
      delete process.env.GIT_TEST_ASSUME_DIFFERENT_OWNER;
      rmSync(other, { recursive: true });
    }
  });

  test("a failure of one version ends the other, and leaves no folder", async () => {
    writeFileSync(join(project, "app.js"), "setTimeout(() => {}, 60_000)");
    const [scratch, { TMPDIR }] = [mkdtempSync(join(tmpdir(), "scratch-")), process.env];
    process.env.TMPDIR = scratch;
    try {
      const started = Date.now();
      await expect(synthesizeBoth(project, "broken")).rejects.toThrow(
        "broken does not synthesize: workers.count is wrong",
      );
      expect(Date.now() - started).toBeLessThan(30_000);
      expect(readdirSync(scratch)).toEqual([]);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
      rmSync(scratch, { recursive: true });
    }
  });

  test("one of several stacks must be named", () => {
    const stacks = { blue: { resource: {} }, green: { resource: { a: {} } } };
    expect(stackOf({ blue: stacks.blue }, undefined, "main")).toBe(stacks.blue);
    expect(stackOf(stacks, "green", "main")).toBe(stacks.green);
    expect(() => stackOf(stacks, undefined, "main")).toThrow(
      new UserError("'--stack' must name one of the stacks of main, blue, green"),
    );
    expect(() => stackOf(stacks, "red", "main")).toThrow(
      new UserError("'--stack' must be a stack of main (blue, green), got: red"),
    );
    expect(() => stackOf(stacks, "constructor", "main")).toThrow(UserError);
    expect(() => stackOf({}, undefined, "main")).toThrow(
      new UserError("'--stack' must name one of the stacks of main, which has none"),
    );
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
