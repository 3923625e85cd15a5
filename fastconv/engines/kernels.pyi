# Written by `python -m fastconv.engines.steps`: the steps of an engine as mypy sees them.
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

class Kernels(Protocol):
    SPLIT_UNITS: dict[str, int]

    def abs_peak(
        self,
        x: Array,
        threads: int,
        /,
    ) -> float: ...
    def to_channels_last(
        self,
        x: Array,
        out: Array,
        threads: int,
        /,
    ) -> None: ...
    def to_channels_first(
        self,
        x: Array,
        out: Array,
        threads: int,
        /,
    ) -> None: ...
    def epilogue(
        self,
        y: Array,
        bias: Array | None,
        residual: Array | None,
        code: int,
        channels_last: bool,
        threads: int,
        /,
    ) -> None: ...
    def epilogue_pixels(
        self,
        y: Array,
        bias: Array | None,
        residual: Array | None,
        code: int,
        n0: int,
        p0: int,
        pixels: int,
        threads: int,
        /,
    ) -> None: ...
    def activation(
        self,
        x: Array,
        y: Array,
        code: int,
        threads: int,
        /,
    ) -> None: ...
    def activation_backward(
        self,
        dy: Array,
        x: Array,
        dx: Array,
        code: int,
        threads: int,
        /,
    ) -> None: ...
    def gate_last(
        self,
        x: Array,
        s: Array,
        y: Array,
        threads: int,
        /,
    ) -> None: ...
    def gate_planes(
        self,
        x: Array,
        s: Array,
        y: Array,
        threads: int,
        /,
    ) -> None: ...
    def affine_last(
        self,
        x: Array,
        scale: Array,
        shift: Array,
        y: Array,
        code: int,
        threads: int,
        /,
    ) -> None: ...
    def affine_planes(
        self,
        x: Array,
        scale: Array,
        shift: Array,
        y: Array,
        code: int,
        threads: int,
        /,
    ) -> None: ...
    def channel_moments(
        self,
        x: Array,
        moments: Array,
        channels_last: bool,
        threads: int,
        /,
    ) -> None: ...
    def channel_products(
        self,
        dy: Array,
        x: Array,
        centre: Array,
        sums: Array,
        channels_last: bool,
        threads: int,
        /,
    ) -> None: ...
    def channel_affine(
        self,
        x: Array,
        other: Array | None,
        table: Array,
        y: Array,
        channels_last: bool,
        threads: int,
        /,
    ) -> None: ...
    def layer_norm_last(
        self,
        x: Array,
        weight: Array,
        bias: Array,
        y: Array,
        eps: float,
        threads: int,
        /,
    ) -> None: ...
    def layer_norm_planes(
        self,
        x: Array,
        weight: Array,
        bias: Array,
        y: Array,
        eps: float,
        threads: int,
        /,
    ) -> None: ...
    def layer_norm_last_backward(
        self,
        dy: Array,
        x: Array,
        weight: Array,
        dx: Array,
        sums: Array,
        work: Array,
        eps: float,
        threads: int,
        /,
    ) -> None: ...
    def layer_norm_planes_backward(
        self,
        dy: Array,
        x: Array,
        weight: Array,
        dx: Array,
        sums: Array,
        work: Array,
        eps: float,
        threads: int,
        /,
    ) -> None: ...
    def fma_probe(
        self,
        scratch: Array,
        n: int,
        threads: int,
        /,
    ) -> int: ...
    def naive_forward(
        self,
        x: Array,
        w: Array,
        y: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def naive_grad_input(
        self,
        dy: Array,
        w: Array,
        dx: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def naive_grad_weight(
        self,
        dy: Array,
        x: Array,
        dw: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def im2col_pack(
        self,
        x: Array,
        col: Array,
        q: Array,
        n0: int,
        p0: int,
        threads: int,
        /,
    ) -> None: ...
    def col2im_add(
        self,
        col: Array,
        dx: Array,
        q: Array,
        n0: int,
        p0: int,
        threads: int,
        /,
    ) -> None: ...
    def im2col_pack_last(
        self,
        x: Array,
        col: Array,
        q: Array,
        n0: int,
        p0: int,
        threads: int,
        /,
    ) -> None: ...
    def col2im_add_last(
        self,
        col: Array,
        dx: Array,
        q: Array,
        n0: int,
        p0: int,
        threads: int,
        /,
    ) -> None: ...
    def spectral_multiply(
        self,
        x: Array,
        w: Array,
        y: Array,
        q: Array,
        conjugate: bool,
        add: bool,
        threads: int,
        /,
    ) -> None: ...
    def separable_rows(
        self,
        x: Array,
        a: Array,
        b: Array,
        bias: Array | None,
        y: Array,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def max_pool(
        self,
        x: Array,
        y: Array,
        taps: Array,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def avg_pool(
        self,
        x: Array,
        y: Array,
        rows: Array,
        cols: Array,
        taps: Array,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def max_pool_indices(
        self,
        x: Array,
        y: Array,
        index: Array,
        taps: Array,
        offsets: Array,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def max_pool_backward(
        self,
        x: Array,
        dy: Array,
        dx: Array,
        taps: Array,
        offsets: Array,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def max_pool_scatter(
        self,
        dy: Array,
        index: Array,
        dx: Array,
        bad: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def avg_pool_backward(
        self,
        dy: Array,
        dx: Array,
        rows: Array,
        cols: Array,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def max_pool_last(
        self,
        x: Array,
        y: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def avg_pool_last(
        self,
        x: Array,
        y: Array,
        rows: Array,
        cols: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def max_pool_last_indices(
        self,
        x: Array,
        y: Array,
        index: Array,
        offsets: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def max_pool_last_backward(
        self,
        x: Array,
        dy: Array,
        dx: Array,
        offsets: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def max_pool_last_scatter(
        self,
        dy: Array,
        index: Array,
        dx: Array,
        bad: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def avg_pool_last_backward(
        self,
        dy: Array,
        dx: Array,
        rows: Array,
        cols: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def depthwise_bands(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        y: Array,
        q: Array,
        phases: Array,
        places: Array,
        work: Array,
        threads: int,
        /,
    ) -> None: ...
    def depthwise_bands_sums(
        self,
        dy: Array,
        x: Array,
        sums: Array,
        q: Array,
        phases: Array,
        places: Array,
        work: Array,
        threads: int,
        /,
    ) -> None: ...
    def depthwise_rows(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        y: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def depthwise_rows_sums(
        self,
        dy: Array,
        x: Array,
        sums: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def direct_pack(
        self,
        w: Array,
        u: Array,
        record: Array,
        order: Array,
        threads: int,
        /,
    ) -> None: ...
    def direct_products(
        self,
        x: Array,
        u: Array | None,
        w: Array,
        bias: Array | None,
        residual: Array | None,
        y: Array,
        work: Array,
        record: Array,
        phases: Array,
        order: Array,
        activation: int,
        threads: int,
        /,
    ) -> None: ...
    def direct_few_pixels(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        residual: Array | None,
        y: Array,
        pixels: int,
        groups: int,
        activation: int,
        threads: int,
        /,
    ) -> None: ...
    def direct_sums(
        self,
        x: Array,
        dy: Array,
        sums: Array,
        work: Array,
        record: Array,
        phases: Array,
        threads: int,
        /,
    ) -> None: ...
    def direct_weights(
        self,
        sums: Array,
        dw: Array,
        record: Array,
        parts: int,
        threads: int,
        /,
    ) -> None: ...
    def depthwise_last_pack(
        self,
        w: Array,
        packed: Array,
        record: Array,
        axes: Array,
        order: Array,
        threads: int,
        /,
    ) -> None: ...
    def depthwise_last_forward(
        self,
        x: Array,
        w: Array,
        packed: Array | None,
        bias: Array | None,
        residual: Array | None,
        y: Array,
        record: Array,
        axes: Array,
        order: Array,
        code: int,
        work: Array,
        threads: int,
        /,
    ) -> None: ...
    def depthwise_last_grad_weight(
        self,
        dy: Array,
        x: Array,
        dw_: Array,
        record: Array,
        axes: Array,
        order: Array,
        work: Array,
        threads: int,
        /,
    ) -> None: ...
    def winograd_lanes(
        self,
        a: Array,
        /,
    ) -> int: ...
    def winograd_weights(
        self,
        w: Array,
        u: Array,
        q: Array,
        coef: Array,
        threads: int,
        /,
    ) -> None: ...
    def winograd_tiles(
        self,
        x: Array,
        u: Array,
        bias: Array | None,
        residual: Array | None,
        y: Array,
        work: Array,
        q: Array,
        coef: Array,
        activation: int,
        threads: int,
        /,
    ) -> None: ...
    def winograd_panels(
        self,
        x: Array,
        w: Array,
        u: Array | None,
        bias: Array | None,
        residual: Array | None,
        y: Array,
        work: Array,
        q: Array,
        coef: Array,
        activation: int,
        threads: int,
        /,
    ) -> None: ...
    def winograd_grad_weight(
        self,
        dy: Array,
        x: Array,
        dw: Array,
        work: Array,
        q: Array,
        coef: Array,
        by_panels: bool,
        threads: int,
        /,
    ) -> None: ...
    def fft_tiled_weights(
        self,
        w: Array,
        r: Array,
        work: Array,
        q: Array,
        place: Array,
        twiddles: Array,
        threads: int,
        /,
    ) -> None: ...
    def fft_tiled_channels(
        self,
        x: Array,
        w: Array,
        r: Array,
        bias: Array | None,
        residual: Array | None,
        y: Array,
        work: Array,
        q: Array,
        place: Array,
        twiddles: Array,
        activation: int,
        threads: int,
        /,
    ) -> None: ...
    def fft_tiled_channels_grad_weight(
        self,
        dy: Array,
        x: Array,
        dw: Array,
        work: Array,
        q: Array,
        place: Array,
        twiddles: Array,
        threads: int,
        /,
    ) -> None: ...
    def fft_tiled_points(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        residual: Array | None,
        y: Array,
        work: Array,
        q: Array,
        place: Array,
        twiddles: Array,
        activation: int,
        threads: int,
        /,
    ) -> None: ...
    def fft_tiled_points_grad_weight(
        self,
        dy: Array,
        x: Array,
        dw: Array,
        work: Array,
        q: Array,
        place: Array,
        twiddles: Array,
        threads: int,
        /,
    ) -> None: ...
    def filter_direct(
        self,
        x: Array,
        w: Array,
        y: Array,
        rows: Array,
        cols: Array,
        cval: float,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def filter_separable(
        self,
        x: Array,
        column: Array,
        row: Array,
        y: Array,
        rows: Array,
        cols: Array,
        cval: float,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def filter_line(
        self,
        x: Array,
        w: Array,
        y: Array,
        rows: Array,
        cols: Array,
        cval: float,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def filter_running(
        self,
        x: Array,
        y: Array,
        rows: Array,
        cols: Array,
        cval: float,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def filter_split(
        self,
        x: Array,
        planes: Array,
        rows: Array,
        cols: Array,
        cval: float,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def filter_join(
        self,
        planes: Array,
        y: Array,
        work: Array,
        q: Array,
        threads: int,
        /,
    ) -> bool: ...
    def split_pack(
        self,
        x: Array,
        copy: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def split_weights(
        self,
        w: Array,
        u: Array,
        pos: Array,
        tmp: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def split_rows(
        self,
        copy: Array,
        u: Array | None,
        w: Array,
        y: Array,
        bias: Array | None,
        phases: Array,
        steps: Array,
        pos: Array,
        work: Array,
        weights: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def split_pack_rows(
        self,
        dy: Array,
        copy: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def split_sums(
        self,
        copy: Array,
        rows: Array,
        sums: Array,
        steps: Array,
        taps: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
    def split_unpack_sums(
        self,
        sums: Array,
        dw: Array,
        q: Array,
        threads: int,
        /,
    ) -> None: ...
