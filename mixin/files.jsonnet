// The rule files, rendered: jsonnet --string --multi DIRECTORY --tla-code config='{scrapeInterval: 30}' files.jsonnet
function(config={})
  local mixin = (import 'mixin.libsonnet') + { _config+:: config };
  {
    [name]: '# Rendered from mixin/ for scrapes at least every %d s: make mixin. Do not edit.\n' % mixin._config.scrapeInterval +
            std.manifestYamlDoc({ groups: mixin.ruleFiles[name] }, indent_array_in_object=true, quote_keys=false) + '\n'
    for name in std.objectFields(mixin.ruleFiles)
  }
