/** The first page: what one can begin with. */
import type { JSX } from 'preact';
import { Tile } from '../parts/tile';
import { hrefOf, onLink } from './route';
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
        <Tile title="⌨️ From a terminal">
          <pre class="box">comfyd run workflow.json</pre>
          <p class="muted">Runs of the command line appear here too. <code>comfyd demo</code> needs no GPU.</p>
        </Tile>
      </div>
    </div>
  );
}
