import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { Narrator, Player } from "../../src/services/recording.js";

const usage = `Usage:
  vangnet replay RECORDING [--json]

Runs a recorded day (vangnet run --record FILE) through the controller and prints each decision with
its reason; --json prints one line a tick with all outputs. The same recording gives the same bytes.
`;

export async function run(args: string[]): Promise<number> {
  const json = args.includes("--json");
  const file = args.find((arg) => !arg.startsWith("--"));
  if (file === undefined) {
    const asked = args.includes("--help");
    (asked ? process.stdout : process.stderr).write(usage);
    return asked ? 0 : 2;
  }
  const player = new Player();
  let narrator: Narrator | null = null;
  let number = 0;
  let torn = false;
  for await (const line of createInterface({ input: createReadStream(file, "utf8"), crlfDelay: Infinity })) {
    number++;
    if (torn) {
      process.stderr.write(`${file}:${number - 1}: not_json\n`);
      return 1;
    }
    if (line === "") continue;
    const played = player.line(line);
    if (!played.ok) {
      // The last line of a recording that was cut off is torn: all before it stands.
      torn = played.rule === "not_json" && number > 1;
      if (torn) continue;
      process.stderr.write(`${file}:${number}: ${played.rule}\n`);
      return 1;
    }
    if (played.outputs === null) continue;
    narrator ??= new Narrator(player.site!);
    const lines = json ? [JSON.stringify({ at: played.at, ...played.outputs })] : narrator.lines(played.outputs, played.at);
    if (lines.length > 0 && !process.stdout.write(lines.join("\n") + "\n")) await new Promise((resolve) => process.stdout.once("drain", resolve));
  }
  if (torn) process.stderr.write(`${file}:${number}: cut off, left out\n`);
  if (number === 0) {
    process.stderr.write(`${file}: empty\n`);
    return 1;
  }
  return 0;
}
