// Writes docs/reference.md from the doc comments of what the package exports; with --check only looks whether it is up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import ts from 'typescript';

const ROOT = resolve(import.meta.dirname, '..');
const PAGE = resolve(ROOT, 'docs/reference.md');
const ENTRIES = { modq: 'src/index.ts', 'modq/express': 'src/express.ts', 'modq/fastify': 'src/fastify.ts' };
const ORDER = [
  'Queue',
  'Claim',
  'Worker',
  'ShardedQueue',
  'ShardedWorker',
  'Presence',
  'Session',
  'Limiter',
  'Lease',
  'Board',
  'EventLog',
  'Fold',
];

const config = ts.getParsedCommandLineOfConfigFile(
  resolve(ROOT, 'tsconfig.json'),
  {},
  { ...ts.sys, onUnRecoverableConfigFileDiagnostic() {} },
);
const program = ts.createProgram(
  Object.values(ENTRIES).map((file) => resolve(ROOT, file)),
  config.options,
);
const checker = program.getTypeChecker();

const docOf = (symbol) => ts.displayPartsToString(symbol.getDocumentationComment(checker)).replace(/\s+/g, ' ').trim();
const isInternal = (symbol) => symbol.getJsDocTags(checker).some((tag) => tag.name === 'internal');
const oneLine = (text) => text.replace(/\s+/g, ' ').trim();

/** What a reader calls or sets: the declaration without its body. */
function signature(declaration) {
  const file = declaration.getSourceFile();
  let text = declaration.getText(file);
  if (declaration.body) text = file.text.slice(declaration.getStart(file), declaration.body.getStart(file));
  else if (declaration.initializer && !ts.isVariableDeclaration(declaration)) text = text.replace(/\s*=[\s\S]*$/, '');
  return oneLine(text)
    .replace(/^(export |async |readonly |public )+/, '')
    .replace(/;$/, '')
    .replace(/^static async /, 'static ')
    .replace(/\bt\.(?=[A-Z])/g, '')
    .replace(/\( /g, '(')
    .replace(/, \)/g, ')');
}

function isHidden(declaration) {
  const flags = ts.getCombinedModifierFlags(declaration);
  return Boolean(flags & ts.ModifierFlags.Private) || (declaration.name && ts.isPrivateIdentifier(declaration.name));
}

function members(declaration) {
  const lines = [];
  for (const member of declaration.members ?? []) {
    if (isHidden(member)) continue;
    if (ts.isConstructorDeclaration(member)) {
      lines.push(
        `- \`new ${declaration.name.text}${signature(member)
          .replace(/^private /, '')
          .replace(/^constructor/, '')
          .replace(/readonly /g, '')}\``,
      );
      continue;
    }
    const symbol = member.name && checker.getSymbolAtLocation(member.name);
    if (!symbol || isInternal(symbol) || ts.isComputedPropertyName(member.name)) continue;
    const doc = docOf(symbol);
    lines.push(`- \`${signature(member)}\`${doc ? `<br>${doc}` : ''}`);
  }
  return lines;
}

function section(symbol) {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const [declaration] = target.declarations;
  const doc = docOf(target);
  const lines = [`### ${symbol.name}`, ''];
  if (doc) lines.push(doc, '');
  if (ts.isClassDeclaration(declaration) || ts.isInterfaceDeclaration(declaration)) {
    const base = declaration.heritageClauses?.map((clause) => oneLine(clause.getText())).join(' ');
    if (base) lines.push(`\`${symbol.name} ${base}\``, '');
    lines.push(...members(declaration), '');
  } else if (ts.isVariableDeclaration(declaration))
    lines.push(`\`${symbol.name}: ${checker.typeToString(checker.getTypeAtLocation(declaration))}\``, '');
  else lines.push(`\`${signature(declaration)}\``, '');
  return lines;
}

const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
const page = [
  '# Reference of the package modq',
  '',
  'Generated from the comments in `src/` by `scripts/reference.mjs`; durations are milliseconds, points in time Dates.',
  '',
];
for (const [entry, file] of Object.entries(ENTRIES)) {
  const module = checker.getSymbolAtLocation(program.getSourceFile(resolve(ROOT, file)));
  const symbols = checker.getExportsOfModule(module).sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
  page.push(`## ${entry}`, '');
  for (const symbol of symbols) page.push(...section(symbol));
}
const text = `${page.join('\n').trim()}\n`;

if (!process.argv.includes('--check')) writeFileSync(PAGE, text);
else if (readFileSync(PAGE, 'utf8') !== text) {
  console.error('docs/reference.md is not what the comments say: npm run reference');
  process.exit(1);
}
