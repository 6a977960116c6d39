/* worker-banner: a greeting for who logs in to the worker, and a file by which scripts know where they run.
 *
 * The interface is site_hook.h, which `init-hooks bindings c DIR` writes. Two rules make the rest: every string that is
 * handed out is one that free() can take, and nothing is opened, printed or timed, since a hook has no system below it.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "site_hook.h"

typedef site_hook_string_t string;
typedef exports_biomero_hooks_hook_effect_t effect;
typedef exports_biomero_hooks_hook_hook_error_t hook_error;

/* Zeroed memory. A hook that gets none stops, and `init` says so. */
static void *allocated(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) abort();
    return memory;
}

/* A string of several, as concatenated("a", "b", NULL). */
static string concatenated(const char *first, ...) {
    va_list parts;
    size_t length = 0;
    va_start(parts, first);
    for (const char *part = first; part; part = va_arg(parts, const char *)) length += strlen(part);
    va_end(parts);
    char *text = allocated(length + 1, 1), *end = text;
    va_start(parts, first);
    for (const char *part = first; part; part = va_arg(parts, const char *)) {
        size_t part_length = strlen(part);
        memcpy(end, part, part_length);
        end += part_length;
    }
    va_end(parts);
    return (string){(uint8_t *)text, length};
}

/* A string as C wants it. */
static char *text_of(const string *given) {
    char *text = allocated(given->len + 1, 1);
    return given->len ? memcpy(text, given->ptr, given->len) : text;
}

/* A value, or NULL where there is none. */
static char *value_of(const biomero_hooks_types_list_entry_t *entries, const char *name) {
    for (size_t i = 0; i < entries->len; i++) {
        const biomero_hooks_types_entry_t *entry = &entries->ptr[i];
        if (entry->name.len == strlen(name) && !memcmp(entry->name.ptr, name, entry->name.len))
            return text_of(&entry->value);
    }
    return NULL;
}

/* A number as a C string. */
static char *decimal(uint32_t number) {
    char digits[11], *end = digits + sizeof digits - 1;
    *end = 0;
    do *--end = (char)('0' + number % 10);
    while (number /= 10);
    return strdup(end);
}

static bool missing(hook_error *error, const char *what, const char *remedy) {
    error->tag = BIOMERO_HOOKS_TYPES_HOOK_ERROR_MISSING;
    site_hook_string_dup(&error->val.missing.what, what);
    site_hook_string_dup(&error->val.missing.remedy, remedy);
    return false;
}

static bool invalid(hook_error *error, const char *place, const char *problem, const char *remedy) {
    error->tag = BIOMERO_HOOKS_TYPES_HOOK_ERROR_INVALID;
    site_hook_string_dup(&error->val.invalid.place, place);
    site_hook_string_dup(&error->val.invalid.problem, problem);
    site_hook_string_dup(&error->val.invalid.remedy, remedy);
    return false;
}

/* Whether a value can stand between single quotes in a line that a shell reads. */
static bool is_quotable(const char *value) {
    for (; *value; value++)
        if ((unsigned char)*value < ' ' || *value == '\'' || *value == 0x7f) return false;
    return true;
}

static effect file(string path, string content) {
    effect made = {.tag = BIOMERO_HOOKS_TYPES_EFFECT_FILE};
    made.val.file.path = path;
    made.val.file.content = (site_hook_list_u8_t){content.ptr, content.len};
    made.val.file.mode = 0644;
    made.val.file.owner = BIOMERO_HOOKS_TYPES_OWNER_SERVICE_USER;
    return made;
}

static effect variable(const char *name, string value) {
    effect made = {.tag = BIOMERO_HOOKS_TYPES_EFFECT_VARIABLE};
    site_hook_string_dup(&made.val.variable.name, name);
    made.val.variable.value = (site_hook_option_string_t){true, value};
    return made;
}

static effect notice(string sentence) {
    effect made = {.tag = BIOMERO_HOOKS_TYPES_EFFECT_NOTICE};
    made.val.notice = sentence;
    return made;
}

/* A list of strings, as wanted(&list, 2, names). */
static void wanted(site_hook_list_string_t *list, size_t length, const char *const *names) {
    list->ptr = allocated(length, sizeof *list->ptr);
    list->len = length;
    for (size_t i = 0; i < length; i++) site_hook_string_dup(&list->ptr[i], names[i]);
}

void exports_biomero_hooks_hook_describe(exports_biomero_hooks_hook_description_t *said) {
    static const char *const settings[] = {"master.host", "omero.directory", "worker.name"};
    static const char *const environment[] = {"BIOMERO_CONTACT", "BIOMERO_SITE"};
    memset(said, 0, sizeof *said);
    site_hook_string_dup(&said->name, "worker-banner");
    site_hook_string_dup(&said->version, "1.0.0");
    site_hook_string_dup(&said->summary, "greets who logs in, and says in a file which worker this is");
    wanted(&said->needs.settings, sizeof settings / sizeof *settings, settings);
    wanted(&said->needs.environment, sizeof environment / sizeof *environment, environment);
}

bool exports_biomero_hooks_hook_plan(exports_biomero_hooks_hook_context_t *context,
                                     exports_biomero_hooks_hook_list_effect_t *effects, hook_error *error) {
    const char *worker = value_of(&context->settings, "worker.name");
    const char *omero = value_of(&context->settings, "omero.directory");
    const char *master = value_of(&context->settings, "master.host");
    const char *site = value_of(&context->environment, "BIOMERO_SITE");
    const char *contact = value_of(&context->environment, "BIOMERO_CONTACT");
    if (!worker) return missing(error, "worker.name", "set OMERO_WORKER_NAME");
    if (!omero) return missing(error, "omero.directory", "set OMERODIR");
    if (!site || !*site) return missing(error, "BIOMERO_SITE", "set it to the name of your site, as Amsterdam UMC");
    if (!is_quotable(site))
        return invalid(error, "BIOMERO_SITE", "holds a quote or a line break", "give a name in one line");
    if (contact && !is_quotable(contact))
        return invalid(error, "BIOMERO_CONTACT", "holds a quote or a line break", "give an address in one line");
    if (!contact) contact = "";
    if (!master) {
        string line = concatenated("no master.host is set: the file names none", NULL);
        biomero_hooks_log_log(BIOMERO_HOOKS_LOG_LEVEL_INFO, &line);
        master = "";
    }

    string identity = concatenated(
        "# Which BIOMERO worker this is. Written at every start; a shell reads it with `.`\n",
        "WORKER='", worker, "'\n",
        "MASTER='", master, "'\n",
        "SITE='", site, "'\n",
        "CONTACT='", contact, "'\n",
        "SERVICE_USER='", text_of(&context->identity.service_name), "'\n",
        "SERVICE_UID=", decimal(context->identity.service_uid), "\n", NULL);
    string banner = concatenated(
        "\n  BIOMERO worker ", worker, ", ", site, "\n",
        "  Scripts of OMERO run here, and jobs go to the cluster from here.\n",
        *contact ? "  Questions: " : "", contact, *contact ? "\n" : "", "\n", NULL);

    effects->len = 4;
    effects->ptr = allocated(effects->len, sizeof *effects->ptr);
    effects->ptr[0] = file(concatenated(omero, "/etc/worker-identity", NULL), identity);
    effects->ptr[1] = file(concatenated(omero, "/etc/motd", NULL), banner);
    effects->ptr[2] = variable("BIOMERO_WORKER_IDENTITY", concatenated(omero, "/etc/worker-identity", NULL));
    effects->ptr[3] = notice(concatenated("this is ", worker, " of ", site, NULL));
    return true;
}
