/** What a run was given: the inputs of each node. */
import type { JSX } from 'preact';
import type { GraphNode, Run, RunWorkflow } from '../../api/types';
import { hrefOf, onLink } from '../../app/route';
import { Empty } from '../../parts/tile';

/** Whether an input takes the output of another node. */
export function isLink(input: unknown): input is [string | number, number] {
  return Array.isArray(input) && input.length === 2 && (typeof input[0] === 'string' || typeof input[0] === 'number') && typeof input[1] === 'number';
}

/** A value as text. */
export function valueText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, undefined, 1);
}

/** The inputs of one node as rows. */
export function NodeInputs({ node, workflow }: { node: GraphNode; workflow: RunWorkflow }): JSX.Element {
  const inputs = Object.entries(node.inputs ?? {});
  if (inputs.length === 0) return <p class="muted">It has no inputs.</p>;
  return (
    <table class="node-inputs">
      <tbody>
        {inputs.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{isLink(value) ? <Source id={String(value[0])} slot={value[1]} workflow={workflow} /> : <span class="value mono">{valueText(value)}</span>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Source({ id, slot, workflow }: { id: string; slot: number; workflow: RunWorkflow }): JSX.Element {
  const from = workflow.workflow[id];
  return <a href={hrefOf({ node: id })} onClick={onLink({ node: id })}>← {from?._meta?.title ?? from?.class_type ?? 'node'} <span class="num muted">{id}:{slot}</span></a>;
}

/** The values of all nodes that have some; links are seen in the graph. */
export function Inputs({ run, workflow, problem }: { run: Run; workflow: RunWorkflow | undefined; problem: string | undefined }): JSX.Element {
  if (!workflow && problem !== undefined) return <Empty title="The workflow cannot be shown"><p role="alert">{problem}</p></Empty>;
  if (!workflow) return <Empty title="Reading the workflow …" />;
  const nodes = run.nodes.flatMap((node) => {
    const given = workflow.workflow[node.node_id];
    const values = Object.entries(given?.inputs ?? {}).filter(([, value]) => !isLink(value));
    return values.length > 0 ? [{ node, values }] : [];
  });
  if (nodes.length === 0) return <Empty title="No node has a value of its own" />;
  return (
    <div class="inputs">
      <table>
        <tbody>
          {nodes.map(({ node, values }) => values.map(([name, value], index) => (
            <tr key={`${node.node_id}.${name}`}>
              {index === 0 && <th scope="rowgroup" rowSpan={values.length}><a href={hrefOf({ node: node.node_id })} onClick={onLink({ node: node.node_id })}>{node.title || node.node_type}</a> <span class="num">{node.node_id}</span></th>}
              <th scope="row">{name}</th>
              <td class="value">{valueText(value)}</td>
            </tr>
          )))}
        </tbody>
      </table>
    </div>
  );
}
