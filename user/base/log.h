/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages to standard error, one a line, with the priority prefix of systemd (<3> ...) when it is the journal that
 * reads. Log where the meaning is known, not at every level.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level); /* default: INFO */
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* fn hears every message too, those below the level included, so that who asked for something can be told why it failed. */
typedef void (*log_tap_fn)(void *arg, enum log_level level, const char *line);
void log_tap(log_tap_fn fn, void *arg); /* one at a time; NULL: nobody */

/* The last error that was logged, so that what failed for it can say it too; "": none yet. */
const char *log_last_error(void);

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* return err_r(-EINVAL, "..."): says what happened and hands the code on. */
#define err_r(code, ...) ({ log_error(__VA_ARGS__); (code); })

#endif
