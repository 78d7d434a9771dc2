import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { renderDiagram } from "../../review/diagram";
import { synthesizeCluster } from "../../testing/synthesize";

const PROJECT = join(__dirname, "../..");

test("npm run diagram draws the cluster of the working tree, and reports a problem in one line", () => {
  const run = (settings?: string) =>
    spawnSync("npm", ["run", "--silent", "diagram"], {
      cwd: PROJECT,
      encoding: "utf8",
      env: { ...process.env, CLUSTER_SETTINGS: settings },
    });
  expect(run()).toMatchObject({ status: 0, stdout: renderDiagram(synthesizeCluster()) });
  expect(run("/nowhere.json")).toMatchObject({
    status: 1,
    stdout: "",
    stderr: expect.stringMatching(/^diagram: the working tree does not synthesize: .*nowhere\.json.*\n$/),
  });
});
