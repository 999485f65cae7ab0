/** MQTT 5 section 4.7: `+` stands for one level, a last `#` for any number, neither for a first level that starts with `$`. */
export function topicMatches(filter: string, topic: string): boolean {
  const want = filter.split("/");
  const have = topic.split("/");
  if (topic.startsWith("$") && (want[0] === "+" || want[0] === "#")) return false;
  for (let i = 0; i < want.length; i++) {
    if (want[i] === "#") return i === want.length - 1;
    if (i >= have.length || (want[i] !== "+" && want[i] !== have[i])) return false;
  }
  return want.length === have.length;
}

/** A filter whose wildcards stand where they may. */
export function filterIsValid(filter: string): boolean {
  if (filter.length === 0 || filter.includes("\0")) return false;
  const levels = filter.split("/");
  return levels.every((level, i) => level === "+" || (level === "#" && i === levels.length - 1) || !(level.includes("+") || level.includes("#")));
}
