/* Start-up of a bare Cortex-M for the tests: copy data, clear memory, run main under semihosting. */
#include <stdint.h>

extern uint32_t stack_top, data_from, data_start, data_end, bss_start, bss_end;
int main(void);
void exit(int);
void initialise_monitor_handles(void);

void start(void) {
    uint32_t *from = &data_from;
    for (uint32_t *to = &data_start; to < &data_end;) *to++ = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end;) *to++ = 0;
    initialise_monitor_handles();
    exit(main());
}

void fault(void) { for (;;) {} }

__attribute__((section(".vectors"), used)) const void *vectors[16] = {
    &stack_top, start, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault,
};

void _init(void) {}
void _fini(void) {}
