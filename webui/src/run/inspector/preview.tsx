/** The newest picture of a run: of the sampler while it runs, else of its outputs. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { isOver, type Run } from '../../api/types';
import type { Picture } from '../../live/protocol';
import { nodeName } from '../../parts/tile';
import { Lightbox } from '../outputs/lightbox';
import { nameOf, shownAs, thumbnailOf } from '../outputs/shown';

/** Props of the preview. Pictures of samplers are live only; of an earlier moment there are none. */
export interface PreviewProps {
  run: Run;
  picture: Picture | undefined;
  live: boolean;
}

/** The picture, in a place whose size does not change. */
export function Preview({ run, picture, live }: PreviewProps): JSX.Element {
  const opened = useSignal<number | undefined>(undefined);
  const pictures = run.outputs.filter((output) => shownAs(output) === 'image');
  const newest = pictures.at(-1);
  const node = run.nodes.find((one) => one.node_id === (picture?.node_id ?? run.progress.current_node_id));
  if (!live && !isOver(run.status)) return <div class="preview"><p class="empty">Previews are live only.</p></div>;
  if (newest && (isOver(run.status) || !picture)) {
    return (
      <div class="preview">
        <button type="button" class="whole" aria-label={`Show ${nameOf(newest)} large`} onClick={() => (opened.value = pictures.length - 1)}><img src={thumbnailOf(run.run_id, newest, 640)} alt={nameOf(newest)} /></button>
        {opened.value !== undefined && <Lightbox run={run.run_id} outputs={pictures} index={opened.value} onIndex={(index) => (opened.value = index)} onClose={() => (opened.value = undefined)} />}
      </div>
    );
  }
  if (picture && live && run.outputs.length === 0 && (run.status === 'executing' || run.status === 'completed')) {
    const steps = node?.state === 'running' && node.steps != null ? ` ${node.step ?? 0}/${node.steps}` : '';
    return (
      <div class="preview">
        <img src={picture.url} alt="Newest preview" />
        {node && <span class="caption num">{nodeName(node)}{steps}</span>}
      </div>
    );
  }
  return <div class="preview"><p class="empty">{isOver(run.status) ? 'No picture' : 'A preview appears while a sampler runs.'}</p></div>;
}

