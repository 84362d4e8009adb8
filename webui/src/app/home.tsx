/** The first page: what one can begin with. */
import type { JSX } from 'preact';
import { get, send } from '../api/client';
import type { Instance } from '../api/types';
import { useRead } from '../live/read';
import { Act } from '../parts/action';
import { Tile } from '../parts/tile';
import { hrefOf, onLink, openRun } from './route';
import { PAGES } from '../views';

/** Cards for a start. */
export function Home(): JSX.Element {
  return (
    <div class="stack home">
      <Tile title="👋 Welcome">
        <p>comfyd runs ComfyUI workflows so that nothing is lost: close the page, lose the network, restart the server, and every run is found again where it should be.</p>
      </Tile>
      <div class="columns">
        {PAGES.new && (
          <Tile title="🎨 Start a run">
            <p class="muted">Pick a template, or drop a workflow (.json) or a picture made by ComfyUI (.png, .webp) anywhere on this page.</p>
            <p class="home-act"><a class="button primary big" href={hrefOf({ view: 'new' })} onClick={onLink({ view: 'new', pane: 'main' })}>▶️ New run</a></p>
          </Tile>
        )}
        {PAGES.instances && (
          <Tile title="🖥️ Add an instance">
            <p class="muted">Paste an address such as <code>http://127.0.0.1:8188</code>, or the SSH command of a rented machine.</p>
            <p class="home-act"><a class="button big" href={hrefOf({ view: 'instances' })} onClick={onLink({ view: 'instances', pane: 'main' })}>Instances</a></p>
          </Tile>
        )}
        <Demo />
      </div>
    </div>
  );
}

/** A template that every installation has. */
const SAMPLE = 'txt2img_basic';

/** A first run without anything to choose; without an instance, how one gets a simulated one. */
function Demo(): JSX.Element {
  // Without an answer the command is shown, which works anyway.
  const { value: instances, problem } = useRead('instances', async (abort) => (await get<{ instances: Instance[] }>('/api/v1/instances', abort)).instances);
  const on = instances?.find((one) => one.default);
  const run = async (): Promise<void> => {
    const { run_id: id } = await send<{ run_id: string }>('POST', '/api/v1/runs', { template: SAMPLE, workflow_name: 'Text to image' });
    openRun(id);
  };
  return (
    <Tile title="🧪 Try it">
      {on
        ? <><p class="muted">A small picture from the built-in sample, on {on.label ?? on.name}.</p><p class="home-act"><Act class="big" do={run}>▶️ Run the sample</Act></p></>
        : (instances ?? problem) && <><pre class="box">comfyd demo</pre><p class="muted">In a terminal: a simulated ComfyUI with a sample run. It needs no GPU and no set-up.</p></>}
      <p class="muted">Runs of the command line (<code>comfyd run workflow.json</code>) appear here too.</p>
    </Tile>
  );
}
