"""Render chat templates with Jinja2, for specrej.

stdin, one JSON object: template (text), tokens {"bos_token": ...}, now (seconds since the epoch),
conversations [{"messages": [{"role", "content"}], "add_generation_prompt": bool}], memory (bytes of address space).
stdout, one JSON value: a list with a string, or {"error": text}, per conversation; or one {"error": text} for all.

Templates come with checkpoints and are not trusted: they run in Jinja2's sandbox, within the memory limit and, because
the parent ends this process at its deadline, within a time limit.  In case the sandbox has a hole, a process that runs
one has given up opening files, connecting to anything and writing to files (lock_up).  The surroundings are those of
transformers' apply_chat_template.
"""

import sys

sys.path[:] = [p for p in sys.path if p]  # never import from the working directory

import datetime
import json
import resource


def environment(now):
    import jinja2
    import jinja2.ext
    import jinja2.sandbox

    class Generation(jinja2.ext.Extension):
        """{% generation %} ... {% endgeneration %} marks the assistant's text; it prints its body."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.Scope(body, lineno=line)

    def raise_exception(message):
        raise jinja2.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form):
        return datetime.datetime.fromtimestamp(now).strftime(form)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    env.filters["tojson"] = tojson
    env.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)
    return env


def reason(e):
    text = str(e) or type(e).__name__
    line = getattr(e, "lineno", None)
    return f"line {line}: {text}" if line else text


def render_one(template, conversation, tokens):
    try:
        return template.render(
            messages=conversation["messages"],
            tools=None,
            documents=None,
            add_generation_prompt=conversation["add_generation_prompt"],
            **tokens,
        )
    except MemoryError:
        return {"error": "the template needs more memory than it may use"}
    except Exception as e:
        return {"error": reason(e)}


def render_all(job):
    try:
        env = environment(job["now"])
    except ImportError:
        return {"error": "no-jinja2"}
    warm_up(env)
    lock_up(job["memory"])
    try:
        template = env.from_string(job["template"])
    except Exception as e:
        return {"error": reason(e)}
    return [render_one(template, c, job["tokens"]) for c in job["conversations"]]


def warm_up(env):
    """Jinja2 and Python import some modules when they are first used: after lock_up they could not."""
    uses = "{% macro m(x) %}{{ x | tojson }}{{ x | pprint }}{% endmacro %}{{ m('\\u00e9\\n') }}{{ strftime_now('%d %b') }}"
    for text in (uses, "{% if %}", "{{ nothing.here }}", "{{ raise_exception('') }}"):
        try:
            env.from_string(text).render()
        except Exception:
            pass  # as meant: what an error needs is there, too


def lock_up(memory):
    """From here on: no more memory than this, and no new file, socket or process (root keeps the last)."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for limit, value in ((resource.RLIMIT_NOFILE, 3), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NPROC, 0)):
        resource.setrlimit(limit, (value, value))


def main():
    job = json.load(sys.stdin.buffer)
    try:
        text = json.dumps(render_all(job))
    except MemoryError:
        text = '{"error": "the template needs more memory than it may use"}'
    sys.stdout.write(text)


main()
