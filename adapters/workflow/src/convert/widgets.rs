//! The widgets that the page makes for a type of input.
//!
//! Invariants: a type without an entry here is a socket. What the page adds beside a widget, as the choice what becomes of a seed, follows it.

use serde_json::{Value, json};

use super::model::{Form, Widget};
use crate::classes::Input;
use crate::json::truthy;

/// What the widget for a seed may say about the next run.
const CONTROLS: [&str; 5] = ["fixed", "increment", "decrement", "randomize", "increment-wrap"];
/// The widget's name.
const CONTROL: &str = "control_after_generate";

/// Whether inputs of this type have a widget.
pub(super) fn is_widget_type(kind: &str) -> bool {
    matches!(
        kind,
        "INT"
            | "FLOAT"
            | "BOOLEAN"
            | "STRING"
            | "MARKDOWN"
            | "COMBO"
            | "IMAGEUPLOAD"
            | "AUDIOUPLOAD"
            | "AUDIO_UI"
            | "COLOR"
            | "COLORS"
            | "IMAGECOMPARE"
            | "BOUNDING_BOX"
            | "BOUNDING_BOXES"
            | "CHART"
            | "GALLERIA"
            | "PAINTER"
            | "COMPOSITOR"
            | "TEXTAREA"
            | "CURVE"
            | "RANGE"
            | "VIDEO_EDIT"
            | "RESOLUTION_PREVIEW"
            | "LIGHT_INFO_PREVIEW"
            | "COMFY_DYNAMICCOMBO_V3"
            | "COMFY_DYNAMICGROUP_V3"
            | "COMFY_BRANCH_SELECTOR"
            | "COMFY_BRANCH_INPUT_NAMES"
            | "LOAD_3D"
            | "LOAD_3D_ADVANCED"
            | "WEBCAM"
            | "AUDIO_RECORD"
    )
}

impl Widget {
    pub(super) fn new(name: impl Into<String>, value: Option<Value>) -> Self {
        Self { name: name.into(), value, saved: true, sent: true, form: Form::Plain, first_choice: None, needs_browser: None }
    }

    fn not_sent(mut self) -> Self {
        self.sent = false;
        self
    }

    fn not_saved(mut self) -> Self {
        self.saved = false;
        self
    }

    fn formed(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    fn by_page(mut self, why: &'static str) -> Self {
        self.needs_browser = Some(why);
        self
    }

    /// Whether it says what becomes of a seed after a run.
    pub(super) fn is_control(&self) -> bool {
        !self.sent && self.name.ends_with(CONTROL)
    }
}

/// Whether files call the widget that says what becomes of a seed so.
pub(super) fn is_control(name: &str) -> bool {
    name.ends_with(CONTROL) || CONTROLS.contains(&name)
}

/// Whether a saved value may be what a control widget held.
pub(super) fn may_be_control(value: &Value) -> bool {
    match value {
        Value::String(text) => CONTROLS.contains(&text.as_str()),
        // Old files say true for randomize; null was never a choice, but a place.
        Value::Bool(_) | Value::Null => true,
        Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The widgets of an input, its own first; what a dynamic combo brings is not among them.
pub(super) fn widgets_of(input: &Input<'_>) -> Vec<Widget> {
    let name = input.name.clone().into_owned();
    let default = input.option("default").cloned();
    let or = |other: Value| default.clone().unwrap_or(other);
    match input.widget_type() {
        "INT" | "FLOAT" => with_control(input, Widget::new(&*name, Some(or(json!(0))))),
        "BOOLEAN" => vec![Widget::new(name, Some(or(json!(false))))],
        "STRING" => {
            let form = if input.is("dynamicPrompts") { Form::DynamicPrompt } else { Form::Plain };
            vec![Widget::new(name, Some(or(json!("")))).formed(form)]
        }
        "MARKDOWN" | "TEXTAREA" => vec![Widget::new(name, Some(or(json!(""))))],
        "COMBO" => with_control(input, combo(input)),
        "IMAGEUPLOAD" => vec![Widget::new(name, Some(json!("image"))).not_sent()],
        "AUDIOUPLOAD" => vec![Widget::new(name, Some(json!(""))).not_sent()],
        "AUDIO_UI" => vec![Widget::new(name, None).not_sent().not_saved()],
        "RESOLUTION_PREVIEW" => vec![Widget::new(name, Some(Value::Null)).not_sent().not_saved()],
        "COLOR" => vec![Widget::new(name, Some(or(json!("#000000"))))],
        "COLORS" | "BOUNDING_BOXES" | "GALLERIA" => vec![Widget::new(name, Some(or(json!([]))))],
        "IMAGECOMPARE" => vec![Widget::new(name, Some(json!(["", ""]))).not_saved()],
        "BOUNDING_BOX" => bounding_box(name, &or(json!({"x": 0, "y": 0, "width": 512, "height": 512}))),
        "CHART" => vec![Widget::new(name, Some(input.option("data").cloned().unwrap_or_else(|| json!({}))))],
        "PAINTER" => vec![Widget::new(name, default).by_page("its value is what was painted on the page")],
        "COMPOSITOR" | "LIGHT_INFO_PREVIEW" | "COMFY_DYNAMICGROUP_V3" => {
            let unsaved = default.is_none();
            let widget = Widget::new(name, default);
            vec![if unsaved { widget.by_page("only the page knows what it holds when nothing was saved") } else { widget }]
        }
        "CURVE" => {
            let straight = json!({"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"});
            vec![Widget::new(name, Some(or(straight))).formed(Form::Curve)]
        }
        "RANGE" => vec![Widget::new(name, Some(or(json!({"min": 0.0, "max": 1.0}))))],
        "VIDEO_EDIT" => vec![Widget::new(name, Some(or(video_edit(input))))],
        "COMFY_DYNAMICCOMBO_V3" => {
            let keys = input.choice_keys();
            let first = keys.first().map(|key| json!(key));
            let mut widget = Widget::new(name, first.clone());
            widget.first_choice = first;
            vec![widget]
        }
        "COMFY_BRANCH_SELECTOR" => vec![Widget::new(name, Some(json!("")))],
        "COMFY_BRANCH_INPUT_NAMES" => vec![Widget::new(name, Some(json!([])))],
        "LOAD_3D" | "LOAD_3D_ADVANCED" => {
            vec![Widget::new(name, None).by_page("its pictures are taken of the 3D view on the page")]
        }
        "WEBCAM" => vec![Widget::new(name, None).by_page("its picture is taken by the camera of the page")],
        "AUDIO_RECORD" => vec![Widget::new(name, None).by_page("its sound is recorded on the page")],
        // All other types are sockets.
        _ => Vec::new(),
    }
}

fn combo(input: &Input<'_>) -> Widget {
    let name = input.name.clone().into_owned();
    let choices = input.choices();
    let default = input.option("default").filter(|default| truthy(Some(default)));
    let waiting = input.option("remote").map(|_| json!("Loading..."));
    let value = default.or_else(|| choices.first()).cloned().or(waiting);
    let mut widget = Widget::new(name, value);
    widget.first_choice = choices.first().cloned();
    widget
}

fn with_control(input: &Input<'_>, widget: Widget) -> Vec<Widget> {
    let kind = input.widget_type();
    let asked = input.option(CONTROL);
    let by_name = kind == "INT" && matches!(&*input.name, "seed" | "noise_seed");
    if !asked.map_or(by_name, |asked| truthy(Some(asked))) {
        return vec![widget];
    }
    // A text that is no mode is the name that the widget is to have.
    let own_name = asked.and_then(Value::as_str).filter(|text| !text.trim().is_empty() && !CONTROLS.contains(text));
    let prefix = input.option("control_prefix").and_then(Value::as_str).map(|prefix| format!("{prefix} "));
    let named = |name: &str| format!("{}{name}", prefix.as_deref().unwrap_or_default());
    let control = Widget::new(own_name.map_or_else(|| named(CONTROL), str::to_owned), Some(json!("randomize"))).not_sent();
    let mut widgets = vec![widget, control];
    if kind == "COMBO" {
        widgets.push(Widget::new(named("control_filter_list"), Some(json!(""))).not_sent());
    }
    widgets
}

fn bounding_box(name: String, value: &Value) -> Vec<Widget> {
    let part = |field: &str| Widget::new(field, value.get(field).cloned()).not_sent();
    let parts = ["x", "y", "width", "height"].map(part);
    std::iter::once(Widget::new(name, Some(value.clone()))).chain(parts).collect()
}

fn video_edit(input: &Input<'_>) -> Value {
    let features = input.option("features").and_then(Value::as_array);
    let has = |name: &str| features.is_none_or(|features| features.iter().any(|feature| feature.as_str() == Some(name)));
    let mut value = serde_json::Map::new();
    if has("trim") {
        value.insert("trim".to_owned(), json!({"start_time": 0, "duration": 0}));
    }
    if has("crop") {
        value.insert("crop".to_owned(), json!({"x": 0, "y": 0, "width": 0, "height": 0}));
    }
    Value::Object(value)
}
