/** Lists of steps that one can begin with. */

/** A step of a plan, as `/workflow/start` takes it. */
export interface PlanStep {
  action: string;
  label: string;
  enabled: boolean;
  [field: string]: unknown;
}

/** A plan. */
export interface Plan {
  id: string;
  title: string;
  about: string;
  steps: PlanStep[];
}

const step = (action: string, label: string, fields: Record<string, unknown> = {}): PlanStep => ({ action, label, enabled: true, ...fields });

/** The plans. */
export const PLANS: readonly Plan[] = [
  {
    id: 'check', title: 'Check a ComfyUI', about: 'Asks whether ComfyUI answers, and makes a first picture with it.',
    steps: [step('test_comfyui', 'Test ComfyUI'), step('execute_comfyui_workflow', 'Make a Picture', { template: 'txt2img_basic', workflow_name: 'First picture' })],
  },
  {
    id: 'machine', title: 'Prepare a rented machine', about: 'Over SSH: tools for models, the folder of ComfyUI, custom nodes and what they need, a restart, and a look whether ComfyUI answers.',
    steps: [
      step('test_ssh', 'Test SSH Connection'), step('setup_civitdl', 'Setup CivitDL'), step('set_ui_home', 'Set UI_HOME'), step('setup_python_venv', 'Set Up Python Environment'), step('clone_auto_installer', 'Clone Auto-installer'),
      step('install_custom_nodes', 'Install Custom Nodes'), step('verify_dependencies', 'Verify Dependencies'), step('reboot_instance', 'Reboot Instance'), step('test_comfyui', 'Test ComfyUI'),
    ],
  },
];

/** A plan of the user's own: what `/workflow/start` takes, as JSON. Throws what is wrong with it, in words. */
export function planOf(text: string): Plan {
  const read = JSON.parse(text) as { steps?: unknown; name?: unknown };
  const steps: unknown = Array.isArray(read) ? read : read.steps;
  if (!Array.isArray(steps) || steps.length === 0) throw new Error('It has no list of steps: give {"steps": [{"action": "test_comfyui"}]}.');
  const made = steps.map((one: unknown, index): PlanStep => {
    const fields = (typeof one === 'object' && one !== null ? one : {}) as Record<string, unknown>;
    if (typeof fields.action !== 'string') throw new Error(`Step ${index + 1} has no action.`);
    return { ...fields, action: fields.action, label: typeof fields.label === 'string' ? fields.label : fields.action.replaceAll('_', ' '), enabled: fields.enabled !== false };
  });
  return { id: 'own', title: typeof read.name === 'string' ? read.name : 'Your own plan', about: 'From a file.', steps: made };
}
