import { readFileSync } from "node:fs";
import { join } from "node:path";
import { transformSync } from "@swc/core";
import { TESTED } from "../../model/versions";
import { parseSettings } from "../../settings/load";
import { generatedFiles, staleFiles } from "../../tools/docs";

const PROJECT = join(__dirname, "../..");
const page = (name: string) => readFileSync(join(PROJECT, name), "utf8");

test("the generated pages are up to date, whatever settings the user has", () => {
  const settings = process.env.CLUSTER_SETTINGS;
  process.env.CLUSTER_SETTINGS = "/not/there.json";
  try {
    expect(staleFiles(generatedFiles())).toEqual([]);
  } finally {
    if (settings === undefined) delete process.env.CLUSTER_SETTINGS;
    else process.env.CLUSTER_SETTINGS = settings;
  }
});

test("credentials.md and part-2.md name the versions that npm run control-plane runs", () => {
  const { kubernetes, etcd } = TESTED;
  const credentials = page("docs/credentials.md");
  expect(page("docs/part-2.md")).toContain(`tested Kubernetes ${kubernetes} with etcd ${etcd} `);
  expect(credentials).toContain(`a real etcd ${etcd} of three`);
  expect(credentials).toContain(`of Kubernetes ${kubernetes}, with part 2's flags`);
});

test.each(["README.md", "docs/settings.md"])("the settings in %s are valid", (name) => {
  const blocks = [...page(name).matchAll(/```json\n(.*?)```/gs)].map(([, text]) => JSON.parse(text as string));
  expect(blocks.length).toBeGreaterThan(0);
  for (const { context, ...settings } of blocks) {
    expect(() => parseSettings(context?.cluster ?? settings)).not.toThrow();
  }
});

test("the stack in constructs.md is synthesized", () => {
  const [, source] = /```ts\n(.*?)```/s.exec(page("docs/constructs.md")) ?? [];
  const { code } = transformSync(source as string, {
    jsc: { parser: { syntax: "typescript" }, target: "es2022" },
    module: { type: "commonjs" },
  });
  const written: string[] = [];
  const load = (name: string) => {
    const module = jest.requireActual(name.startsWith(".") ? join(PROJECT, name) : name);
    // The example ends in app.synth(), which would write into the working directory.
    return name === "cdktf" ? { ...module, App: recordingApp(module, written) } : module;
  };
  new Function("require", "exports", code)(load, {});
  expect(written.join()).toMatch(/aws_lb_target_group_attachment/);
});

function recordingApp({ Testing, TerraformStack }: typeof import("cdktf"), written: string[]) {
  return function App() {
    const app = Testing.app({ stackTraces: false });
    app.synth = () => {
      const stacks = app.node.children.filter(TerraformStack.isStack);
      written.push(...stacks.map((stack) => Testing.synth(stack as InstanceType<typeof TerraformStack>, true)));
    };
    return app;
  };
}
