import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { describeSuite } from "../../cloud/requirements";
import { until } from "../../cloud/ssh-hosts";
import { CloudProgram } from "../../testing/cloud-program";

const NOT_UP = { status: 1, output: "cloud: it is not up: npm run cloud -- up\n" };

describeSuite("the emulated cloud", () => {
  const cloud = new CloudProgram();
  afterAll(async () => {
    await cloud.run("down");
    cloud.remove();
  });

  const processId = (): number => JSON.parse(readFileSync(join(cloud.folder, "up.json"), "utf8")).pid;

  test("an unknown command is refused, with the most similar command", async () => {
    expect(await cloud.run("statsu")).toEqual({
      status: 1,
      output:
        "cloud: 'statsu' is not a command, did you mean 'status'? allowed: up, status, deploy, diff, ssh, exec, credentials, destroy, down\n",
    });
    expect((await cloud.run("toString")).output).toMatch(/^cloud: 'toString' is not a command, /);
    const { status, output } = await cloud.run();
    expect(status).toBe(1);
    expect(output).toMatch(/^cloud: a command is missing\nnpm run cloud -- COMMAND .*\n\n {2}npm run cloud -- up /);
  });

  test("commands for a running cloud report that it is not up", async () => {
    const commands = ["status", "deploy", "diff", "ssh", "exec", "destroy", "down"];
    const alone = ["status", "down"];
    const ends = await Promise.all(commands.map((name) => cloud.run(name, ...(alone.includes(name) ? [] : ["ls"]))));
    expect(ends).toEqual(commands.map(() => NOT_UP));
  });

  test("up, status and down reject arguments", async () => {
    for (const name of ["up", "status", "down"]) {
      expect(await cloud.run(name, "--bogus")).toEqual({
        status: 1,
        output: `cloud: ${name} takes no arguments, got: --bogus\n`,
      });
    }
  });

  test("up starts one cloud and prints the next commands; down leaves nothing", async () => {
    const { status, output } = await cloud.run("up");
    expect(status).toBe(0);
    expect(output).toContain("npm run cloud -- deploy");
    expect(await cloud.run("up")).toEqual({
      status: 1,
      output: "cloud: it is already running: npm run cloud -- status\n",
    });
    expect((await cloud.run("status")).output).toContain("No machines: npm run cloud -- deploy\n");
    for (const args of [["ssh", "worker-0"], ["credentials"]]) {
      expect(await cloud.run(...args)).toEqual({
        status: 1,
        output: "cloud: nothing is deployed: npm run cloud -- deploy\n",
      });
    }

    // Installing or building programs again would take minutes, so down keeps them.
    mkdirSync(join(cloud.folder, "kubernetes"));
    expect(await cloud.run("down")).toEqual({ status: 0, output: "The cloud is down.\n" });
    expect(cloud.files).toEqual(["kubernetes"]);
    rmdirSync(join(cloud.folder, "kubernetes"));
    expect(await cloud.run("status")).toEqual(NOT_UP);
  });

  test.each([["help"], ["--help"], ["up", "--help"]])("%s %s prints the commands", async (...args) => {
    expect(await cloud.run(...args.filter(Boolean))).toMatchObject({
      status: 0,
      output: expect.stringContaining("cloud -- up "),
    });
  });

  test("down ends the programs that run in the cloud", async () => {
    await cloud.run("up");
    const program = cloud.start(["exec", "sh", "-c", "echo under way; sleep 60"]);
    await until(() => program.output().includes("under way"), { what: program.output, process: program.process });
    await cloud.run("down");
    expect((await program.ended).status).not.toBe(0);
  });

  test("after a killed cloud, down removes its files, and up starts another", async () => {
    await cloud.run("up");
    process.kill(processId(), "SIGKILL");
    expect(await cloud.run("down")).toEqual({
      status: 0,
      output: "The cloud was not running. Its files are removed.\n",
    });
    expect(cloud.files).toEqual([]);

    await cloud.run("up");
    const killed = processId();
    process.kill(killed, "SIGKILL");
    await until(() => !isAlive(killed), { what: () => `${killed} ends` });
    expect(await cloud.run("status")).toEqual(NOT_UP);

    expect((await cloud.run("up")).status).toBe(0);
    expect(processId()).not.toBe(killed);
    expect((await cloud.run("down")).status).toBe(0);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
