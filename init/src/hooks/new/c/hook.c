/* hook-name: greets who logs in to the worker.
 *
 * `init-hooks bindings c bindings` writes site_hook.h, the interface. What is handed out must be memory that free() can
 * take.
 */
#include <stdlib.h>
#include <string.h>

#include "site_hook.h"

typedef site_hook_string_t string;
typedef exports_biomero_hooks_hook_hook_error_t hook_error;

/* Zeroed memory. A hook that gets none stops, and `init` says so. */
static void *allocated(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) abort();
    return memory;
}

/* The strings, one after the other. */
static string concatenated(size_t count, const string *parts) {
    size_t length = 0;
    for (size_t i = 0; i < count; i++) length += parts[i].len;
    string whole = {allocated(length + 1, 1), 0};
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len) memcpy(whole.ptr + whole.len, parts[i].ptr, parts[i].len);
        whole.len += parts[i].len;
    }
    return whole;
}

static string of(const char *text) {
    return (string){(uint8_t *)text, strlen(text)};
}

/* A value, or NULL where there is none. */
static const string *value_of(const biomero_hooks_types_list_entry_t *entries, const char *name) {
    for (size_t i = 0; i < entries->len; i++) {
        const biomero_hooks_types_entry_t *entry = &entries->ptr[i];
        if (entry->name.len == strlen(name) && !memcmp(entry->name.ptr, name, entry->name.len))
            return &entry->value;
    }
    return NULL;
}

static bool missing(hook_error *error, const char *what, const char *remedy) {
    error->tag = BIOMERO_HOOKS_TYPES_HOOK_ERROR_MISSING;
    site_hook_string_dup(&error->val.missing.what, what);
    site_hook_string_dup(&error->val.missing.remedy, remedy);
    return false;
}

static void want(site_hook_list_string_t *list, size_t count, const char *const *names) {
    list->ptr = allocated(count, sizeof *list->ptr);
    list->len = count;
    for (size_t i = 0; i < count; i++) site_hook_string_dup(&list->ptr[i], names[i]);
}

/* What it wants to know. [grants] in hook.toml must hold as much. */
void exports_biomero_hooks_hook_describe(exports_biomero_hooks_hook_description_t *said) {
    memset(said, 0, sizeof *said);
    site_hook_string_dup(&said->name, "hook-name");
    site_hook_string_dup(&said->version, "0.1.0");
    site_hook_string_dup(&said->summary, "greets who logs in to the worker");
    want(&said->needs.settings, 2, (const char *[]){"omero.directory", "worker.name"});
    want(&said->needs.environment, 1, (const char *[]){"MOTD_CONTACT"});
}

/* What should be. It happens when all of it is granted. */
bool exports_biomero_hooks_hook_plan(exports_biomero_hooks_hook_context_t *context,
                                     exports_biomero_hooks_hook_list_effect_t *effects, hook_error *error) {
    const string *omero = value_of(&context->settings, "omero.directory");
    const string *worker = value_of(&context->settings, "worker.name");
    const string *contact = value_of(&context->environment, "MOTD_CONTACT");
    if (!omero) return missing(error, "omero.directory", "set OMERODIR");
    if (!worker) return missing(error, "worker.name", "set OMERO_WORKER_NAME");

    string path = concatenated(2, (string[]){*omero, of("/etc/motd")});
    string text = concatenated(3, (string[]){of("Welcome to "), *worker, of(".\n")});
    if (contact && contact->len)
        text = concatenated(4, (string[]){text, of("Questions: "), *contact, of("\n")});

    effects->len = 1;
    effects->ptr = allocated(effects->len, sizeof *effects->ptr);
    effects->ptr[0].tag = BIOMERO_HOOKS_TYPES_EFFECT_FILE;
    effects->ptr[0].val.file = (biomero_hooks_types_file_t){
        .path = path,
        .content = {text.ptr, text.len},
        .mode = 0644,
        .owner = BIOMERO_HOOKS_TYPES_OWNER_SERVICE_USER,
    };
    return true;
}
